#!/usr/bin/env -S bash -u -e -o pipefail
# How does diolog bear the load that the reference system was tested with, beside that system's own figures?
#
# The load: 100 threads, together 1,000 messages a second of 300 KiB each, 307 MB/s, into one log with retention. The
# reference system is the Go logger that diolog descends from. Its authors published the figures in the second column. The
# figures in the third column were measured with their program on a virtual machine with two cores, by counting the messages
# in its file. With --capacity the script instead measures how many such messages this machine takes, and runs the load at
# 10, 50 and 90 % of that rate.
#
# Every message is due at its time, even if the one before was late. At the end `diolog bench load` checks that the accepted
# messages are in the files, or were removed by retention. A dropped or missing message fails the script.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly THREADS=100
readonly RATE=1000
readonly MESSAGE_BYTES=307200
# A message of 300 KiB fits half of a ring of 1 MiB, the default, with 16 MiB of reserve behind it; a block of 2 MiB
# holds six. Of these 100 rings each window is memory from the beginning, and the reserves may take 412 MiB together.
readonly SETTINGS=(--ring-bytes '1 MiB' --reserve-bytes '16 MiB' --rings-bytes-max '512 MiB' --block-bytes '2 MiB')

readonly USAGE='[--seconds NUMBER] [--minutes NUMBER] [--capacity] [--report FOLDER] [DIR]
Runs the reference load on the disk of DIR (default: target) for 30 seconds or as long as asked for, and prints its
figures beside the published ones. With --capacity: at 10, 50 and 90 % of what this machine takes. Writes the figures of
each second to FOLDER (default: target/reports/load-TIME). Takes at most 8 GiB of the disk.
Exit status: 0 nothing lost, 1 messages lost, 3 not measured, 64 invalid command line.'

seconds=30
capacity=
report=
directory=
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) [[ ${2:-} =~ ^[1-9][0-9]{0,4}$ ]] || usage "$USAGE"; seconds=$2; shift ;;
        --minutes) [[ ${2:-} =~ ^[1-9][0-9]{0,3}$ ]] || usage "$USAGE"; seconds=$(($2 * 60)); shift ;;
        --capacity) capacity=yes ;;
        --report) [ $# -gt 1 ] || usage "$USAGE"; report=$(realpath -m "$2"); shift ;;
        -*) usage "$USAGE" ;;
        *) [ -z "$directory" ] || usage "$USAGE"; directory=$(realpath -m "$1") ;;
    esac
    shift
done

enter_package
build_diolog
make_scratch "${directory:-target}"
report=${report:-target/reports/load-$(date -u +%Y%m%dT%H%M%SZ)}
mkdir -p "$report" || cannot "cannot make the folder $report"
describe_machine "$scratch" | tee "$report/machine.txt"

# load RATE: runs the load, and writes its figures to the report, a line of JSON for each rate. Its status is that of
# `diolog bench load`.
load() {
    "$diolog" bench load --threads "$THREADS" --rate "$1" --message-bytes "$MESSAGE_BYTES" --time "$seconds s" \
        "${SETTINGS[@]}" --disk-bytes '8 GiB' --csv "$report/seconds.csv" --plot "$report/seconds.svg" --format json \
        "$scratch" >"$report/summary.json"
}

# figure EXPRESSION [FILE]: prints what jq finds in the summary.
figure() {
    jq -r "$1" "${2:-$report/summary.json}"
}

# row NAME DIOLOG PUBLISHED MEASURED: prints a row of the table.
row() {
    printf '%-34s %16s %16s %24s\n' "$@"
}

status=0
if [ "$capacity" ]; then
    load '10%,50%,90%' || status=$?
    [ -s "$report/summary.json" ] || cannot "the load did not run"
    printf '\n%d threads, messages of %d bytes, %d s at each rate\n' "$THREADS" "$MESSAGE_BYTES" "$seconds"
    jq -rs '
        def ms: . / 10000 | round / 100 | tostring + " ms";
        (["rate", "lost", "p50", "p99", "p99.9", "max", "write p99", "CPU", "adds up"] | join("\t")),
        (.[] | [(.rate | round | tostring) + "/s", .lost, (.append_ns | .p50, .p99, ."p99.9", .max | ms),
            (.write_ns.p99 | ms), (.cpu_percent | round | tostring) + " %", .adds_up] | map(tostring) | join("\t"))
    ' "$report/summary.json" | column -t -s $'\t'
else
    load "$RATE" || status=$?
    [ -s "$report/summary.json" ] || cannot "the load did not run"
    ms() { calculate "sprintf(\"%.3g ms\", $1 / 1e6)"; }
    us() { calculate "sprintf(\"%.3g us\", $1 / 1e3)"; }
    printf '\n%d threads, together %d messages of %d bytes a second, %d s\n' "$THREADS" "$RATE" "$MESSAGE_BYTES" \
        "$seconds"
    row '' 'diolog, here' 'published' 'measured, two cores'
    row 'dropped' "$(figure '.lost_percent | tostring + " %"')" '0.035 %' 'none reported'
    row 'accepted, and not in the files' "$(figure '.accepted - .in_files - .retired - .overwritten')" '-' \
        '101 of 29,900'
    row 'write, mean' "$(ms "$(figure .write_ns.mean)")" '25 ms' '-'
    row 'write, p99' "$(ms "$(figure .write_ns.p99)")" '65 ms' '-'
    row 'write, max' "$(ms "$(figure .write_ns.max)")" '479 ms' '-'
    row 'append, p50' "$(us "$(figure .call_ns.p50)")" '-' '21.7 us'
    row 'append, p99' "$(us "$(figure .call_ns.p99)")" '-' '153 us'
    row 'append, max' "$(ms "$(figure .call_ns.max)")" '-' '4.4 ms'
    row 'append from its due time, p99' "$(ms "$(figure .append_ns.p99)")" '-' '-'
    row 'CPU, of a core' "$(figure '.cpu_percent | round | tostring + " %"')" '64 %' '-'
    row 'memory' "$(figure '.memory_peak_bytes / 1e7 | round / 100 | tostring + " GB"')" '5.5 GB' '-'
    figure '"\naccepted \(.accepted) = in the files \(.in_files) + removed by retention \(.retired): " +
        (if .adds_up then "it adds up" else "it does NOT add up" end) + "; verify: \(.verdict)"'
fi
printf 'figures of each second: %s\n' "$report"
[ "$(jq -s 'map(select(.lost > 0 or .not_begun > 0 or (.adds_up | not))) | length' "$report/summary.json")" = 0 ] ||
    status=$BELOW
case $status in
    0) exit 0 ;;
    3 | 64) exit "$UNUSABLE" ;;
    *) exit "$BELOW" ;;
esac
