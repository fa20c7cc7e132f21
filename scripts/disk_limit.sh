#!/usr/bin/env -S bash -u -e -o pipefail
# Does diolog write as fast as the disk can? fio measures the disk.
#
# Both take turns on the same file system, with the same block size and number of writes in flight, O_DIRECT with O_DSYNC,
# and files that were written before. Messages have 4 KiB, so that the disk is the limit, and not the rings. The verdict is
# about the median of the rounds' ratios. The spread beside it is that of fio alone, and says how far to trust the ratio.
#
# diolog's writer thread and fio are pinned to the same CPU, because a write that completes on one CPU wakes a thread on
# another CPU 20 to 30 µs later. If they are not pinned, the scheduler moves both between CPUs.
#
# The device `pwrite` writes one block after the other on one thread, however many blocks are in flight. fio's psync engine
# does the same. diolog's thread for this is not the writer thread, and not pinned: the scheduler places it, and fio has the
# better place.
#
# At the end the script measures an append with its flush, beside fio's durable writes of 4 KiB.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly RATE_FLOOR=0.95
readonly FLUSH_CEILING=1.3
# fio's file, which it overwrites in each run.
readonly FILE_BYTES=1073741824
# With blocks of 1 MiB, a writer thread that is this busy limits the rate, and not the disk.
readonly BUSY_ENOUGH=0.95

readonly USAGE='[--full] [--rounds NUMBER] [--core CPU|any] [DIR]
Compares diolog with fio on the disk of DIR (default: target) in about three minutes; --full measures each cell longer.
Both write from one CPU (default: the last allowed one), or, with "any", from the CPUs that the scheduler chooses.
Exit status: 0 within the limits, 1 slower, 3 not measured, 64 invalid command line.'

rounds=5
full=false
directory=
core=$(awk '/^Cpus_allowed_list/ { count = split($2, cpus, /[,-]/); print cpus[count] }' /proc/self/status)
while [ $# -gt 0 ]; do
    case $1 in
        --full) full=true ;;
        --rounds) [ $# -gt 1 ] || usage "$USAGE"; rounds=$2; shift ;;
        --core) [ $# -gt 1 ] || usage "$USAGE"; core=$2; shift ;;
        -*) usage "$USAGE" ;;
        *) [ -z "$directory" ] || usage "$USAGE"; directory=$(realpath -m "$1") ;;
    esac
    shift
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || usage "$USAGE"
[[ $core =~ ^([0-9]+|any)$ ]] || usage "$USAGE"
readonly core
pin_fio=() pin_diolog=()
if [ "$core" != any ]; then
    pin_fio=(--cpus_allowed="$core")
    pin_diolog=(--writer-core "$core")
fi

need fio fio
need jq jq
enter_package
build_diolog
make_scratch "${directory:-target}"
readonly file=$scratch/fio.bin
readonly results=$scratch/results

# run_fio OPTIONS...: fio's figures for durable writes to the prepared file.
run_fio() {
    fio --name=limit --filename="$file" --rw=write --direct=1 --sync=dsync --overwrite=1 --output-format=json \
        --eta=never "${pin_fio[@]}" "$@" || cannot "fio has failed"
}

# by_fio rate DEVICE BLOCK DEPTH: bytes a second. by_fio flush: nanoseconds of the median write of 4 KiB.
by_fio() {
    local engine=(--ioengine=psync)
    if [ "$1" = flush ]; then
        run_fio --bs=4k --size=64m --time_based --runtime="${milliseconds}ms" "${engine[@]}" |
            jq '.jobs[0].write.clat_ns.percentile["50.000000"]'
        return
    fi
    [ "$2" = pwrite ] || engine=(--ioengine=io_uring --iodepth="$4" --fixedbufs --registerfiles)
    run_fio --bs="$3" --size="$FILE_BYTES" --io_size="$bytes" --runtime="${milliseconds}ms" "${engine[@]}" |
        jq '.jobs[0].write.bw_bytes'
}

# by_diolog: the same figures of diolog; after the bytes a second, the writer thread's part of a CPU.
by_diolog() {
    if [ "$1" = flush ]; then
        run_diolog --flush-each --message-bytes 64 --total-bytes 64MiB | jq .latency_ns.p50
        return
    fi
    run_diolog --device "$2" --block-bytes "$3" --blocks-in-flight "$4" --message-bytes 4096 --total-bytes "$bytes" |
        jq -r '"\(.bytes_per_second) \(.writer_busy // 0)"'
}

run_diolog() {
    "$diolog" bench disk "$scratch" --time "${milliseconds}ms" --format json "${pin_diolog[@]}" "$@" ||
        cannot "diolog has failed"
}

# in_turns ROUND CELL...: the figures of both, fio's first; the one that runs first changes with the round.
in_turns() {
    local round=$1 fio log
    shift
    if ((round % 2)); then
        fio=$(by_fio "$@")
        log=$(by_diolog "$@")
    else
        log=$(by_diolog "$@")
        fio=$(by_fio "$@")
    fi
    echo "$fio $log"
}

# column NUMBER LINES...: that column of results whose lines begin with the words given.
column() {
    local number=$1
    shift
    grep "^$* " "$results" | cut -d ' ' -f "$number"
}

describe_machine "$scratch"

# Prepares the file that fio overwrites, as a segment is prepared. The speed of that decides how much each cell writes,
# so that the script takes about the same time on any disk.
rate=$(fio --name=prepare --filename="$file" --rw=write --bs=1m --size="$FILE_BYTES" --direct=1 --ioengine=psync \
    --zero_buffers --end_fsync=1 --output-format=json --eta=never | jq '.jobs[0].write.bw_bytes') ||
    cannot "fio cannot write 1 GiB"
if $full; then milliseconds=10000 bytes_max=3221225472; else milliseconds=800 bytes_max=1073741824; fi
bytes=$(calculate "int($rate * $milliseconds / 1000 * 0.45 / 1048576) * 1048576")
# diolog prepares twice as many bytes.
holds "$bytes < $bytes_max" || bytes=$bytes_max
holds "$bytes > 33554432" || bytes=33554432
printf 'written from CPU: %s\n' "$core"
printf 'each cell: %.0f MiB or %.1f s, whichever ends first; %d rounds\n' "$(calculate "$bytes / 1048576")" \
    "$(calculate "$milliseconds / 1000")" "$rounds"

for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds"
    for device in io_uring pwrite; do
        for block in 65536 262144 1048576; do
            for depth in 1 4; do
                both=$(in_turns "$round" rate "$device" "$block" "$depth")
                echo "$device $block $depth $both" >>"$results"
            done
        done
    done
    both=$(in_turns "$round" flush)
    echo "flush 4096 1 $both" >>"$results"
done

status=0
printf '\n%-9s %8s %9s %10s %10s %8s %10s %8s\n' device block 'in flight' 'fio MB/s' 'diolog' 'ratio' 'fio spread' \
    'writer'
for device in io_uring pwrite; do
    for block in 65536 262144 1048576; do
        for depth in 1 4; do
            cell="$device $block $depth"
            fio=$(column 4 "$cell" | median)
            log=$(column 5 "$cell" | median)
            ratio=$(grep "^$cell " "$results" | awk '{ print $5 / $4 }' | median)
            busy=$(column 6 "$cell" | median)
            verdict=ok
            if holds "$ratio < $RATE_FLOOR"; then
                if [ "$block" -eq 1048576 ] && holds "$busy >= $BUSY_ENOUGH"; then
                    verdict='below, limited by the writer thread: exempt'
                else
                    verdict=BELOW
                    status=$BELOW
                fi
            fi
            printf '%-9s %4d KiB %9d %10.0f %10.0f %8.3f %8.0f %% %6.0f %%  %s\n' "$device" $((block / 1024)) "$depth" \
                "$(calculate "$fio / 1e6")" "$(calculate "$log / 1e6")" "$ratio" "$(column 4 "$cell" | spread)" \
                "$(calculate "$busy * 100")" "$verdict"
        done
    done
done
fio=$(column 4 'flush 4096 1' | median)
log=$(column 5 'flush 4096 1' | median)
ratio=$(grep '^flush ' "$results" | awk '{ print $5 / $4 }' | median)
verdict=ok
if holds "$ratio > $FLUSH_CEILING"; then
    verdict=ABOVE
    status=$BELOW
fi
printf '\na record appended and flushed, p50: fio %.1f µs, diolog %.1f µs, ratio %.3f (fio spread %s %%)  %s\n' \
    "$(calculate "$fio / 1000")" "$(calculate "$log / 1000")" "$ratio" "$(column 4 'flush 4096 1' | spread)" "$verdict"
printf 'floor: %s of fio'\''s bytes a second; ceiling: %s of its latency\n' "$RATE_FLOOR" "$FLUSH_CEILING"
exit "$status"
