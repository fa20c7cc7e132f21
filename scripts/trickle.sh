#!/usr/bin/env -S bash -u -e -o pipefail
# What does a log cost that is hardly written to, and how soon can it be read?
#
# 120 short lines in 12 seconds go to `diolog write`, one by one, while `diolog tail --follow` reads the log. Each line
# carries its time. At the end the log may measure 1 MiB at the most, each line must have been readable soon after its
# flush interval, and `diolog cat` must give them all back.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly LINES_WRITTEN=120
readonly BETWEEN_MS=100
readonly FLUSH_INTERVAL_MS=100
# Beyond the flush interval: the disk, the follower, which looks every 50 ms, and two pipes. Generous, since it is not
# this machine's load that is in question; without a flush the last line would be some hundred times later.
readonly SOON_MS=400
readonly LOG_BYTES_MAX=$((1 << 20))

readonly USAGE='[DIR]
Trickles lines into a log on the disk of DIR (default: target) for 12 seconds.
Exit status: 0 all as it should be, 1 too large, too late or not complete, 3 not measured, 64 not understood.'

[[ $# -le 1 && ${1:-} != -* ]] || usage "$USAGE"
directory=${1:+$(realpath -m "$1")}

# now: milliseconds since 1970.
now() {
    echo $((${EPOCHREALTIME//[.,]/} / 1000))
}

# trickle: the lines, each at its time.
trickle() {
    local begin number wait
    begin=$(now)
    for ((number = 1; number <= LINES_WRITTEN; number++)); do
        wait=$((begin + number * BETWEEN_MS - $(now)))
        ((wait <= 0)) || sleep "$(printf '%d.%03d' $((wait / 1000)) $((wait % 1000)))"
        echo "line $number at $(now)"
    done
}

# delays: for each line that arrives, how old it is, in milliseconds.
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
# The process substitution is what stays behind when the follower is told to end: it writes until its input ends.
"$diolog" tail --lines 0 --follow "$log" > >(delays >"$scratch/delays") &
follower=$!
children+=("$follower")
wait "$writer" || cannot "diolog write has failed"
held=$(cat "$log"/* | wc -c)
# What was written last is durable now; the follower looks often.
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
printf '%-44s %7d ms  (median %.0f, at most %d)\n' 'the latest could be read after' "$latest" \
    "$(median <"$scratch/delays")" $((FLUSH_INTERVAL_MS + SOON_MS))
((latest <= FLUSH_INTERVAL_MS + SOON_MS)) || status=$BELOW
printf '%-44s %6d KiB  (at most %d)\n' 'the log measures' $((held / 1024)) $((LOG_BYTES_MAX / 1024))
((held <= LOG_BYTES_MAX)) || status=$BELOW
if "$diolog" cat --format message "$log" | cmp -s - "$scratch/lines"; then
    echo 'all lines come back as they were'
else
    echo 'the lines do NOT come back as they were'
    status=$BELOW
fi
exit "$status"
