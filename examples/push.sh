#!/bin/sh
# Push the name of each file in a folder as a task: push.sh FOLDER [URL]
#
# DQTW_TOKEN is the token to show, if the server needs one; CURL_CA_BUNDLE names a private authority for an https URL.
#
# A push that is refused for now is tried again until it is accepted, so that no file is left out. The key makes that
# safe: if an answer was lost on its way, the retry does not push a second time. It is made of the file's name and
# content, so a script that is started again skips what it pushed before, but not a file that has changed since.
set -eu

folder=$1
url=${2:-http://127.0.0.1:8080}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
head=$scratch/head

# A file, so that the token does not stand on a command line that others can read.
headers=$scratch/headers
touch "$headers"
[ -z "${DQTW_TOKEN:-}" ] || printf 'Authorization: Bearer %s\n' "$DQTW_TOKEN" > "$headers"

for file in "$folder"/*; do
    name=$(basename "$file")
    key=$({ printf '%s\n' "$name" && cat "$file"; } | sha256sum | cut -d ' ' -f 1)
    while true; do
        : > "$head"
        status=$(
            printf %s "$name" | curl --silent --max-time 30 --output /dev/null --dump-header "$head" \
                --write-out '%{http_code}' --header 'Content-Type: text/plain; charset=utf-8' \
                --header "Idempotency-Key: $key" --header "@$headers" --data-binary @- "$url/push"
        ) || true
        case $status in
            200 | 201)
                echo "pushed $name"
                break
                ;;
            408 | 429 | 5?? | 000) # full, not now, not from this server, or no answer at all
                # Proxies may write the names of headers in lower case.
                pause=$(grep -i '^retry-after:' "$head" | tr -d '\r' | cut -d ' ' -f 2)
                echo "not now ($status): $name; again in ${pause:-1} s"
                sleep "${pause:-1}"
                ;;
            *)
                echo "refused ($status): $name" >&2
                exit 1
                ;;
        esac
    done
done
