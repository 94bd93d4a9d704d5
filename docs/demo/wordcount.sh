#!/bin/sh
# Counts the words of a text and reports about itself, with curl and nothing else of Jobwire.
#
#   WEBHOOK=... wordcount.sh TEXT
#
# $WEBHOOK is the URL that came with the job. It holds the job's token, so it goes to curl on
# standard input: in the list of arguments every user of the machine could read it.
set -eu
text=$1
number=0
work=$(mktemp -d)

report() { # report NAME [JSON]; the id makes a repetition count once
  number=$((number + 1))
  printf 'url = "%s&name=%s&id=wordcount-%d&source=wordcount.sh"\n' "$WEBHOOK" "$1" "$number" |
    curl --config - --silent --show-error --fail --output /dev/null --request POST \
      --retry 5 --retry-all-errors --max-time 10 --data "${2:-}"
}

ended() { # also when a command fails: no job stays RUNNING for ever
  status=$?
  rm -rf "$work"
  test "$status" = 0 || report fail "{\"cause\": \"exit code $status\"}"
}
trap ended EXIT

report run "{\"text\": \"$(basename "$text")\", \"pid\": $$}"

lines=$(wc -l <"$text")
split -l $(((lines + 7) / 8)) "$text" "$work/part."
parts=$(ls "$work" | wc -l)
ready=0
for part in "$work"/part.*; do
  tr -cs '[:alpha:]' '[\n*]' <"$part" | tr '[:upper:]' '[:lower:]' | sed '/^$/d' >>"$work/words"
  ready=$((ready + 1))
  words=$(wc -l <"$work/words")
  report update "{\"percent\": $((ready * 100 / parts)), \"words\": $((words))}"
done

set -- $(sort "$work/words" | uniq -c | sort -k1,1nr -k2 | head -n 1)
report finish "{\"words\": $((words)), \"most_frequent\": \"$2\", \"times\": $1}"
