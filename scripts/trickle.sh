#!/usr/bin/env -S bash -u -e -o pipefail
# How large does a log with few records become, and how soon can its records be read?
#
# The script writes 120 short lines in 12 seconds to `diolog write`, one by one, while `diolog tail --follow` reads the log.
# Each line contains its time. At the end the log may have at most 1 MiB, each line must have been readable soon after its
# flush interval, and `diolog cat` must print all of them.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly LINES_WRITTEN=120
readonly BETWEEN_MS=100
readonly FLUSH_INTERVAL_MS=100
# Allowed beyond the flush interval: the disk, the follower, which polls every 50 ms, and two pipes. Generous, so that a
# busy machine passes; without a flush the last line would come some hundred times later.
readonly SOON_MS=400
readonly LOG_BYTES_MAX=$((1 << 20))

readonly USAGE='[DIR]
Writes lines slowly into a log on the disk of DIR (default: target) for 12 seconds.
Exit status: 0 within the limits, 1 too large, too late or incomplete, 3 not measured, 64 invalid command line.'

[[ $# -le 1 && ${1:-} != -* ]] || usage "$USAGE"
directory=${1:+$(realpath -m "$1")}

# now: milliseconds since 1970.
now() {
    echo $((${EPOCHREALTIME//[.,]/} / 1000))
}

# trickle: prints the lines, each at its time.
trickle() {
    local begin number wait
    begin=$(now)
    for ((number = 1; number <= LINES_WRITTEN; number++)); do
        wait=$((begin + number * BETWEEN_MS - $(now)))
        ((wait <= 0)) || sleep "$(printf '%d.%03d' $((wait / 1000)) $((wait % 1000)))"
        echo "line $number at $(now)"
    done
}

# delays: prints the age of each line on standard input, in milliseconds.
delays() {
    local line
    while read -r line; do
        echo $(($(now) - ${line##* at }))
    done
}

enter_package
build_diolog
make_scratch "${directory:-target}"
readonly log=$scratch/log

describe_machine "$scratch"
say "trickling $LINES_WRITTEN lines, $BETWEEN_MS ms apart"
trickle | tee "$scratch/lines" |
    "$diolog" write --quiet --flush-interval "$FLUSH_INTERVAL_MS ms" "$log" &
writer=$!
children+=("$writer")
until compgen -G "$log/*.dlog" >/dev/null; do
    kill -0 "$writer" 2>/dev/null || cannot "diolog write has ended"
    sleep 0.01
done
# The process substitution outlives the follower: it writes until its input ends.
"$diolog" tail --lines 0 --follow "$log" > >(delays >"$scratch/delays") &
follower=$!
children+=("$follower")
wait "$writer" || cannot "diolog write has failed"
held=$(cat "$log"/* | wc -c)
# The last lines are durable now: wait until the follower has printed them.
for ((tries = 0; tries < 100; tries++)); do
    [ "$(wc -l <"$scratch/delays")" -lt "$LINES_WRITTEN" ] || break
    sleep 0.05
done
kill -INT "$follower"
wait "$follower" || true

status=0
arrived=$(wc -l <"$scratch/delays")
printf '%-44s %10d\n' 'lines read while they were written' "$arrived"
((arrived == LINES_WRITTEN)) || status=$BELOW
latest=$(sort -n "$scratch/delays" | tail -n 1)
printf '%-44s %7d ms  (median %.0f, at most %d)\n' 'longest delay until a line was read' "$latest" \
    "$(median <"$scratch/delays")" $((FLUSH_INTERVAL_MS + SOON_MS))
((latest <= FLUSH_INTERVAL_MS + SOON_MS)) || status=$BELOW
printf '%-44s %6d KiB  (at most %d)\n' 'size of the log' $((held / 1024)) $((LOG_BYTES_MAX / 1024))
((held <= LOG_BYTES_MAX)) || status=$BELOW
if "$diolog" cat --format message "$log" | cmp -s - "$scratch/lines"; then
    echo 'cat prints all lines unchanged'
else
    echo 'cat does NOT print all lines unchanged'
    status=$BELOW
fi
exit "$status"
