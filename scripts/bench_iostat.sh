#!/usr/bin/env -S bash -u -e -o pipefail
# How many writes, flushes and bytes does a log at a steady rate cause on the disk?
#
# The script runs a load at a steady rate, and `iostat -x` once a second. It writes a folder with the figures of both, plots
# of them, and a page that describes the measurement. It looks at the time between the load's first and last whole second,
# and subtracts the idle disk's figures. For blocks up to 256 KiB it checks that each block causes one data write and at most
# one flush, and that hardly more bytes are written than the blocks have.
#
# Not every write that the kernel counts is a data write. If the disk has a cache, the kernel counts an empty write for the
# flush of each block, even if it merges several flushes. And the file system writes the inode now and then, for the file's
# time. So the script takes the bytes beyond those of the blocks as pages of 4 KiB.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly WRITES_CEILING=1.05
readonly FLUSHES_CEILING=1.05
readonly BYTES_CEILING=1.05
readonly CHECKED_BLOCK_BYTES_MAX=262144
readonly MESSAGE_BYTES=256
readonly PAGE_BYTES=4096
readonly IDLE_SECONDS=6

readonly USAGE='[--seconds NUMBER] [--megabytes-per-second NUMBER] [--block-bytes NUMBER] [--blocks-in-flight NUMBER]
       [--report FOLDER] [DIR]
Loads the disk of DIR (default: target) with a log for some seconds (default: 15) at a steady rate (default: 80 MB/s),
and writes a report to FOLDER (default: target/reports/iostat-TIME).
Exit status: 0 within the limits, 1 beyond them, 3 not measured, 64 invalid command line.'

seconds=15
megabytes=80
block=262144
depth=4
report=
directory=
command="$0 $*"
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) [ $# -gt 1 ] || usage "$USAGE"; seconds=$2; shift ;;
        --megabytes-per-second) [ $# -gt 1 ] || usage "$USAGE"; megabytes=$2; shift ;;
        --block-bytes) [ $# -gt 1 ] || usage "$USAGE"; block=$2; shift ;;
        --blocks-in-flight) [ $# -gt 1 ] || usage "$USAGE"; depth=$2; shift ;;
        --report) [ $# -gt 1 ] || usage "$USAGE"; report=$(realpath -m "$2"); shift ;;
        -*) usage "$USAGE" ;;
        *) [ -z "$directory" ] || usage "$USAGE"; directory=$(realpath -m "$1") ;;
    esac
    shift
done
for number in "$seconds" "$megabytes" "$block" "$depth"; do
    [[ $number =~ ^[1-9][0-9]*$ ]] || usage "$USAGE"
done
((seconds >= 5)) || usage "$USAGE"

need iostat sysstat
need gnuplot gnuplot-nox
need jq jq
enter_package
build_diolog
make_scratch "${directory:-target}"
report=${report:-target/reports/iostat-$(date -u +%Y%m%dT%H%M%SZ)}
mkdir -p "$report" || cannot "cannot make the folder $report"
disk=$(device_of "$scratch")
printf 'command: %s\n' "$command" >"$report/machine.txt"
describe_machine "$scratch" >>"$report/machine.txt"

# watch FILE COMMAND...: runs the command and iostat, and writes iostat's figures to FILE as CSV: a row for each second,
# which ended at the time in the first column.
watch() {
    local file=$1 watching
    shift
    TZ=UTC S_TIME_FORMAT=ISO iostat -o JSON -x -y -t "$disk" 1 >"$scratch/iostat.json" &
    watching=$!
    children+=("$watching")
    "$@"
    # Let the current second end. At SIGINT iostat completes its JSON.
    sleep 1
    kill -INT "$watching"
    wait "$watching" || true
    jq -r '
        [.sysstat.hosts[0].statistics[]
            | {unix_seconds: (.timestamp | sub("\\+0000$"; "Z") | fromdate)} + .disk[0]] as $rows
        | ($rows[0] | keys_unsorted), ($rows[] | [.[]]) | @csv' "$scratch/iostat.json" | tr -d '"' >"$file"
}

# middle COLUMN FILE [FROM TO]: the median of a column of a CSV file, over the rows whose first column is in that range.
# The median, so that a second in which something else wrote a lot does not shift it.
middle() {
    awk -F , -v name="$1" -v from="${3:-0}" -v to="${4:-1e30}" '
        NR == 1 { for (at = 1; at <= NF; at++) if ($at == name) column = at; next }
        column && $1 >= from && $1 <= to { print $column; rows++ }
        END { exit !rows }' "$2" | median || cannot "$2 has no $1 of that time"
}

say "watching the idle disk"
watch "$report/idle.csv" sleep "$IDLE_SECONDS"

bytes=$((megabytes * 1000000 * (seconds + 1)))
say "loading it with $megabytes MB/s for $seconds s, once $((bytes / 500000000 + 1)) GB are prepared"
load=(bench disk "$scratch" --block-bytes "$block" --blocks-in-flight "$depth" --message-bytes "$MESSAGE_BYTES"
    --rate $((megabytes * 1000000 / MESSAGE_BYTES)) --total-bytes "$bytes" --time "$seconds s")
# Called by watch.
# shellcheck disable=SC2317
run_load() {
    "$diolog" "${load[@]}" --csv "$report/load.csv" --format json >"$report/load.json" || cannot "diolog has failed"
}
watch "$scratch/iostat.csv" run_load

# The steady part, in seconds as iostat counts them: from the end of the load's first whole second to its last but one.
# Before that, the log prepares the file.
read -r begin end < <(awk -F , '
    NR == 2 { begin = int($1) + 1 }
    { end = before; before = int($1) }
    END { print begin, end }' "$report/load.csv")
awk -F , -v begin="$begin" 'NR == 1 || $1 >= begin' "$scratch/iostat.csv" >"$report/iostat.csv"

# load_rate COLUMN: the growth of a count of the load in a second, the median over the steady part.
load_rate() {
    awk -F , -v name="$1" -v from="$begin" -v to="$end" '
        NR == 1 { for (at = 1; at <= NF; at++) if ($at == name) column = at; next }
        since && $1 >= from && $1 <= to + 1 { print ($column - count) / ($1 - since) }
        { count = $column; since = $1 }' "$report/load.csv" | median
}

# steady COLUMN: iostat's median in the steady part, less that of the idle disk.
steady() {
    calculate "$(middle "$1" "$report/iostat.csv" "$begin" "$end") - $(middle "$1" "$report/idle.csv")"
}

blocks=$(load_rate durable_blocks)
block_bytes=$(load_rate durable_bytes)
disk_bytes=$(calculate "$(steady wkB/s) * 1024")
inode_writes=$(calculate "($disk_bytes - $block_bytes) / $PAGE_BYTES / $blocks")
flushes=$(calculate "$(steady f/s) / $blocks")
writes=$(calculate "$(steady w/s) / $blocks - $inode_writes - ($flushes > 0)")
bytes_ratio=$(calculate "$disk_bytes / $block_bytes")

status=0
# row NAME VALUE CEILING: a line of the table of checks.
row() {
    local verdict=ok
    if ((block > CHECKED_BLOCK_BYTES_MAX)); then
        verdict='not checked: larger than 256 KiB'
    elif holds "$2 > $3"; then
        verdict=ABOVE
        status=$BELOW
    fi
    printf '| %s | %.3f | %s | %s |\n' "$1" "$2" "$3" "$verdict"
}
{
    echo '| in the steady part | measured | at most | |'
    echo '|---|--:|--:|---|'
    row 'data writes for a block' "$writes" "$WRITES_CEILING"
    row 'flushes for a block' "$flushes" "$FLUSHES_CEILING"
    row 'bytes to the disk for a byte of block' "$bytes_ratio" "$BYTES_CEILING"
} >"$report/checks.md"

# plot FILE TITLE UNIT SCALE CURVES...: an SVG over the seconds since the load began.
plot() {
    local file=$1 title=$2 unit=$3 scale=$4
    shift 4
    gnuplot <<GNUPLOT || cannot "gnuplot has failed"
set terminal svg size 900,320 dynamic background "white"
set output "$report/$file"
set datafile separator ","
set key outside right noenhanced
set title "$title" noenhanced
set xlabel "seconds"
set ylabel "$unit" noenhanced
set xrange [0:*]
$scale
set grid
this = NaN
now = NaN
plot $*
GNUPLOT
}
# The load's last row covers only a part of a second.
sed '$d' "$report/load.csv" >"$scratch/load.csv"
readonly io="\"$report/iostat.csv\" using (column(\"unix_seconds\") - $begin + 1)"
readonly of_load="\"$scratch/load.csv\" using (column(\"unix_seconds\") - $begin + 1)"
readonly from_zero='set yrange [0:*]'
plot throughput.svg Throughput MB/s "$from_zero" \
    "$io:(column(\"wkB/s\") / 1000 * 1.024) with linespoints title \"iostat wkB/s\"," \
    `# The load counts from its beginning: a rate is the difference of two rows.` \
    "$of_load:(last = this, this = column(\"durable_bytes\"), since = now, now = column(\"unix_seconds\")," \
    '(this - last) / (now - since) / 1e6)' \
    'with linespoints title "blocks made durable"'
plot requests.svg 'Requests to the disk' 'a second' "$from_zero" \
    "$io:\"w/s\" with linespoints title \"w/s\", $io:\"f/s\" with linespoints title \"f/s\""
plot queue.svg 'Waiting for the disk' 'ms, or requests' "$from_zero" \
    "$io:\"w_await\" with linespoints title \"w_await (ms)\", $io:\"aqu-sz\" with linespoints title \"aqu-sz\""
plot append.svg 'Time of an append' ns 'set logscale y; set yrange [10:*]' \
    "$of_load:\"latency_p50_ns\" with linespoints title \"p50\"," \
    "$of_load:\"latency_p90_ns\" with linespoints title \"p90\"," \
    "$of_load:\"latency_p99_ns\" with linespoints title \"p99\"," \
    "$of_load:\"latency_p999_ns\" with linespoints title \"p99.9\""

{
    printf '# diolog and its disk\n\n'
    printf '%s MB/s in messages of %s bytes, blocks of %s KiB, %s in flight, by %s.\n\n' "$megabytes" "$MESSAGE_BYTES" \
        $((block / 1024)) "$depth" "$(jq -r .device "$report/load.json")"
    printf 'The idle disk did %s writes, %s flushes and %s kB a second, which are subtracted.\n' \
        "$(middle w/s "$report/idle.csv")" "$(middle f/s "$report/idle.csv")" "$(middle wkB/s "$report/idle.csv")"
    printf 'For each block the disk wrote %.2f pages more than the block has:\n' "$inode_writes"
    printf 'the inode, for the time of the last change.\n\n'
    cat "$report/checks.md"
    printf '\n## Over time\n\n'
    printf '![throughput](throughput.svg)\n\n![requests](requests.svg)\n\n'
    printf '![waiting](queue.svg)\n\n![append](append.svg)\n\n'
    printf '## The machine\n\n'
    sed 's/^/- /' "$report/machine.txt"
    printf -- '- load: diolog %s\n\n' "${load[*]/$scratch/DIR}"
    printf 'Figures: [iostat.csv](iostat.csv), [idle.csv](idle.csv), [load.csv](load.csv), [load.json](load.json).\n'
} >"$report/index.md"
rm "$report/checks.md" "$report/machine.txt"

sed -n '/^|/p' "$report/index.md"
say "the report is $report/index.md"
exit "$status"
