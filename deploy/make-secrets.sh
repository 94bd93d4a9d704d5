#!/bin/sh
# Writes the secrets that compose.yaml names into deploy/secrets, or into the folder given. Changes
# nothing that is there. The service's own are made by its image, or by $JOBWIRE if that is set.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/secrets}
image=jobwire:0.1.0

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
secret() { printf '%s\n' "$2" >"$folder/$1"; }

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
for name in service-keys api-key broker-url database-url rabbitmq-account \
    mongo-password mongo-root-password mongo-key; do
    if [ -e "$folder/$name" ]; then
        echo "make-secrets: $folder/$name is there already; nothing was changed" >&2
        exit 1
    fi
done
chmod 700 "$folder"

if [ -n "${JOBWIRE:-}" ]; then
    "$JOBWIRE" secrets make "$folder"
else
    docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$folder:/secrets" \
        "$image" secrets make /secrets
fi

broker=$(random)
secret broker-url "amqp://jobwire:$broker@rabbitmq:5672/"
secret rabbitmq-account "default_user = jobwire
default_pass = $broker"
database=$(random)
secret database-url "mongodb://jobwire:$database@mongo:27017/jobwire?replicaSet=jobwire"
secret mongo-password "$database"
secret mongo-root-password "$(random)"
secret mongo-key "$(random)"

# Whoever may not enter the folder cannot read them; the users inside the containers must.
for file in "$folder"/*; do
    case $file in *.md) ;; *) chmod 444 "$file" ;; esac
done
echo "the secrets are in $folder"
