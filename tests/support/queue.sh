#!/bin/sh
# A small batch system: a queue in a folder, and jobs that start when somebody lets them.
#
#   queue.sh submit QUEUE RUN COMMAND           reads the environment; prints the id of the job
#   queue.sh start QUEUE                        starts all that wait
#   queue.sh status QUEUE SHIM [RUN CONTROL]...
#   queue.sh cancel QUEUE RUN COMMAND           asks for the end of a job, and does not wait for it
#
# In QUEUE: `closed` (nothing is taken), `log` (a line for each command), `ids/RUN` (the id of a
# run), and for each job ID.state (waiting, started, cancelled), ID.command, ID.environment.

verb=$1 queue=$2
shift 2
mkdir -p "$queue/ids"
echo "$verb $#" >>"$queue/log"

case $verb in
    submit)
        if [ -e "$queue/closed" ]; then
            echo "queue: the queue is closed for maintenance" >&2
            exit 3
        fi
        id=$(($(find "$queue" -name '*.state' | wc -l) + 1))
        umask 077
        cat >"$queue/$id.environment"
        printf '%s\n' "$2" >"$queue/$id.command"
        echo waiting >"$queue/$id.state"
        echo "$id" >"$queue/ids/$1"
        echo "job $id has been submitted"
        ;;
    start)
        for file in "$queue"/*.state; do
            id=${file##*/} id=${id%.state}
            [ "$(cat "$file")" = waiting ] || continue
            echo started >"$file"
            # The shim ends its own beginning by a signal as soon as it stands by itself.
            setsid sh "$queue/$id.command" <"$queue/$id.environment" >/dev/null 2>&1 || :
        done
        ;;
    status)
        shim=$1
        shift
        while [ $# -ge 2 ]; do
            id=$(cat "$queue/ids/$1" 2>/dev/null)
            state=absent
            [ -z "$id" ] || state=$(cat "$queue/$id.state" 2>/dev/null || echo cancelled)
            case $state in
                started) echo "${id:--} $(sh "$shim" status "$1" "$2")" ;;
                *) echo "${id:--} $1 $state" ;;
            esac
            shift 2
        done
        ;;
    cancel)
        id=$(cat "$queue/ids/$1" 2>/dev/null)
        if [ -z "$id" ]; then
            echo never >"$queue/ids/$1"
        elif [ "$(cat "$queue/$id.state" 2>/dev/null)" = waiting ]; then
            echo cancelled >"$queue/$id.state"
        else
            eval "setsid $2" >/dev/null 2>&1 &
        fi
        ;;
esac
