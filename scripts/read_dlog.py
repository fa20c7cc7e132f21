#!/usr/bin/env python3
"""Prints the records of a diolog log, one a line: messages as they are, and structured records as JSON objects.

Written from docs/format.md alone: it is enough. It holds a run in memory, and trusts lengths that a checksum covers.
Its status is 1 if blocks or a run's end are missing or bad, or files misplaced, 3 if a newer diolog wrote some of them.
"""
import json
import math
import re
import struct
import sys
from pathlib import Path

GRID = 4096
BLOCK = struct.Struct("<II4sIIHHQQQQII")  # capacity valid magic header_crc payload_crc flags in_flight segment_id …
SHARD = struct.Struct("<IIQIB3xQ")  # valid producer first_sequence records encoding (levels) base_ns
RECORD = struct.Struct("<IBBBxQ")  # length kind level flags timestamp_ns
SEGMENT = struct.Struct("<16s16s32xQQ8xII")  # log run index previous_segment_id incompatible compatible
CALLSITE = struct.Struct("<IBBHI")  # id level flags fields line
PLAIN, PACKED, MESSAGE, STRUCTURED, DEFINITION, SEGMENT_HEADER, KINDS, SKIPPABLE = 0, 1, 1, 2, 3, 7, range(1, 9), 0x80
BOOL, CHAR, UNSIGNED, SIGNED, UNSIGNED_128, SIGNED_128, F32, F64, STR, BYTES, DISPLAY, DEBUG, FIELDS = range(1, 14)
SIZES, OPTIONAL = {BOOL: 1, CHAR: 4, UNSIGNED: 8, SIGNED: 8, UNSIGNED_128: 16, SIGNED_128: 16}, 0x80
BLOCK_0, CLEAN_END, RECOVERED, INCOMPATIBLE, RETIRES = 0x0001, 0x0002, 0x0004, 0xFF00, 0x1

TABLE = list(range(256))
for _ in range(8):
    TABLE = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in TABLE]  # 0x1EDC6F41, reflected


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283
notes = {"missing": 0, "unclosed": 0, "damaged headers": 0, "misplaced": 0, "newer": 0}  # decide the exit status


class Block:
    """A block whose header checksum fits; `payload` is None if the block is newer or bad."""

    def __init__(self, data, offset):
        self.offset = offset
        (self.capacity, valid, magic, _, self.payload_crc, self.flags, in_flight,
         self.segment_id, self.number, *_) = BLOCK.unpack_from(data, offset)
        self.durable_below = 0 if in_flight == 0xFFFF else self.number - in_flight
        in_range = self.capacity % GRID == 0 and GRID <= self.capacity <= 16 << 20 and valid <= self.capacity - 64
        self.newer = magic != b"DLB1" or self.flags & INCOMPATIBLE != 0 or not in_range
        payload = data[offset + 64:offset + 64 + valid]
        self.payload = payload if not self.newer and crc32c(payload) == self.payload_crc else None
        self.capacity = GRID if self.capacity == 0 or self.capacity % GRID else self.capacity


def blocks(data, offset, segment_id, other_than=None):
    """Steps through a segment. Without `segment_id`, the first block gives it that is of no segment `other_than`."""
    while offset + 64 <= len(data):
        header = data[offset:offset + 64]
        crc = struct.unpack_from("<I", header, 12)[0]
        signed = header[:12] + bytes(4) + header[16:] + offset.to_bytes(8, "little")
        if header[8:11] == b"DLB" and crc32c(signed) == crc:
            block = Block(data, offset)
            segment_id = segment_id or (block.segment_id if block.segment_id != other_than else None)
            if block.segment_id == segment_id and not (block.flags & BLOCK_0 and offset > 0):
                yield block
                offset += block.capacity
                continue
        offset += GRID  # empty, unreadable or stale


def shards(payload):
    """Producer, first sequence, number of records, encoding, first time and record bytes of each shard."""
    while payload:
        valid, producer, sequence, records, encoding, base_ns = SHARD.unpack_from(payload)
        yield producer, sequence, records, encoding, base_ns, payload[32:32 + valid]
        payload = payload[32 + valid:]


def records(block):
    """Time, producer, sequence, kind and payload of each record: of a structured one its callsite's id and `Bytes`."""
    for producer, sequence, count, encoding, ns, data in shards(block.payload):
        if encoding not in (PLAIN, PACKED):
            notes["newer"] += 1
            continue
        rest = Bytes(data, encoding)
        for sequence in range(sequence, sequence + count):
            if encoding == PACKED:
                callsite, ns, length = rest.varint(), ns + rest.varint(), rest.varint()
                kind, payload = STRUCTURED if callsite else MESSAGE, rest.take(length)[callsite == 0:]
            else:
                length, kind, _, _, ns = RECORD.unpack(rest.take(16))
                payload = rest.take((length + 7) // 8 * 8)[:length]
                if kind == STRUCTURED:
                    callsite, payload = int.from_bytes(payload[:4], "little"), payload[4:]
                notes["newer"] += kind not in KINDS and not kind & SKIPPABLE
            yield ns, producer, sequence, kind, (callsite, Bytes(payload, encoding)) if kind == STRUCTURED else payload


class Bytes:
    """Bytes that are taken from the front: records, or values."""

    def __init__(self, data, encoding):
        self.data, self.packed = memoryview(data), encoding == PACKED

    def take(self, count):
        taken, self.data = self.data[:count], self.data[count:]
        return bytes(taken)

    def number(self, count, signed=False):
        return int.from_bytes(self.take(count), "little", signed=signed)

    def varint(self):
        count = (self.data[0] ^ self.data[0] + 1).bit_length()  # trailing ones, and one more
        return self.number(count) >> count if count < 9 else self.number(9) >> 8

    def text(self, count, in_hex=False):
        text = self.take(count)
        return {"hex": text.hex()} if in_hex or text.decode(errors="replace").encode() != text else text.decode()

    def floating(self, form):
        if form == "<d" and self.packed and self.data[0] != 0xFF:
            number = self.varint()
            return (number >> 3 ^ -(number >> 2 & 1)) / 100 ** (number & 3)
        data = self.take(4 if form == "<f" else 8 + self.packed)[-8:]
        number = struct.unpack(form, data)[0]
        return number if math.isfinite(number) else "0x" + data[::-1].hex()

    def value(self, code):
        """A value as JSON has it, and whether it was cut; bytes are fields with names of their own."""
        if code & OPTIONAL and self.number(1) == 0:
            return None, False
        code &= ~OPTIONAL
        if STR <= code <= FIELDS:
            length = self.varint() if self.packed else self.number(4)
            text = self.take(length >> 1) if code == FIELDS else self.text(length >> 1, code == BYTES)
            return text, length & 1 == 1
        if code in (F32, F64):
            return self.floating("<f" if code == F32 else "<d"), False
        signed = code in (SIGNED, SIGNED_128)
        if code == BOOL or not self.packed:
            number = self.number(SIZES[code], signed)  # a KeyError is a type that the page does not know
        else:
            number = self.varint() if SIZES[code] < 16 else self.varint() | self.varint() << 64
            number = number >> 1 ^ -(number & 1) if signed else number  # zigzag
        if code in (BOOL, CHAR):
            return chr(number) if code == CHAR else number == 1, False
        return number if -(1 << 63) <= number < 1 << 64 else str(number), False

    def fields(self, types):
        """Name, value and, if it was cut, that, of each field."""
        for code, name in types:
            value, cut = self.value(code)
            if not isinstance(value, bytes):
                yield [name, value, "cut"] if cut else [name, value]
                continue
            inner = Bytes(value, PLAIN)
            while inner.data:
                name = inner.text(inner.number(1))
                yield from inner.fields([(inner.number(1), name)])


def definition(payload):
    """A callsite's id, what its records have in common, and the types and names of their fields."""
    id, level, _, count, line = CALLSITE.unpack_from(payload)
    rest = Bytes(payload[12:], PLAIN)
    target, file, template = (rest.text(rest.number(2)) for _ in range(3))
    types = [(rest.number(1), rest.text(rest.number(1))) for _ in range(count)]
    return id, (dict(callsite=id, level=level, target=target, file=file, line=line, template=template), types)


def structured(callsites, id, values):
    """A structured record as JSON; `None` if a newer diolog wrote it."""
    record, types = callsites.get(id, ({"callsite": id}, []))
    try:
        return json.dumps(record | {"fields": list(values.fields(types))}).encode()
    except KeyError:
        notes["newer"] += 1


class Segment:
    """A segment; its run is None if block 0 is damaged, or is that of the segment `displaced_by`."""

    def __init__(self, number, data, displaced_by=None):
        self.index, self.log, self.run, self.previous, self.flags = number, None, None, None, RETIRES
        self.id, self.blocks, self.is_displaced = None, [], displaced_by is not None
        found = blocks(data, 0, None, displaced_by)
        first = next(found, None)
        if first is None:  # prepared, or no segment
            return
        self.id, self.first = first.segment_id, first.number
        self.blocks = list(found) if first.flags & BLOCK_0 else [first, *found]
        newer = first.offset == 0 and (first.newer or first.payload is not None)  # until its header was read
        if first.flags & BLOCK_0 and first.payload is not None:
            for *_, kind, payload in records(first):
                if kind == SEGMENT_HEADER:
                    self.log, self.run, self.index, self.previous, newer, self.flags = SEGMENT.unpack_from(payload)
        if newer:
            notes["newer"], self.blocks = notes["newer"] + 1, []


def segments_of(number, data):
    """The segment in a file, and that of the blocks after its header if this is another segment's."""
    segment = Segment(number, data)
    if segment.index == number:
        return [segment]
    notes["misplaced"] += 1
    return [segment, Segment(number, data, segment.id)]


def own(segments):
    """The segments of the log to which most belong; not those after another's header that no header names."""
    logs = [segment.log for segment in sorted(segments, key=lambda segment: -segment.index) if segment.log]
    log = logs[0] if len(set(logs[:2])) == 1 else max(logs, key=logs.count, default=None)
    named = {segment.previous: segment.log for segment in reversed(segments) if segment.run}  # by the first one
    named.update({segment.id: segment.log for segment in segments if segment.run})
    for segment in segments:
        of = segment.log or named.get(segment.id, None if segment.is_displaced else log)
        if of == log:
            yield segment
        elif segment.blocks:
            notes["misplaced"] += 1


def numbers(*segments):
    """The checksum of each block by its number."""
    return {block.number: block.payload_crc for segment in segments for block in segment.blocks}


def continues(segment, run, blank):
    """Whether a segment whose block 0 is damaged continues the run before it. The files `blank` hold no block."""
    index = segment.index - 1
    while index in blank:
        index -= 1
    own, before = numbers(segment), numbers(*run)
    ends = [block.number for other in run for block in other.blocks if block.flags & CLEAN_END]
    durable_below = max((block.durable_below for other in run for block in other.blocks), default=0)
    return index == run[-1].index and (durable_below <= min(own) or not own.keys().isdisjoint(before)) and (
        all(before.get(number, crc) == crc for number, crc in own.items()) and set(ends) <= set(own))


def runs_of(segments):
    """Groups segments by run, and finds the runs of those whose block 0 is damaged."""
    named = {segment.previous: segment.run for segment in segments}
    named.update({segment.id: segment.run for segment in segments if segment.run})
    blank = {segment.index for segment in segments if segment.id is None}
    segments = [segment for segment in segments if segment.blocks or segment.run]
    runs, last = {}, None
    for segment in sorted(segments, key=lambda segment: segment.index):
        run = segment.run or named.get(segment.id)
        if run is None and last and continues(segment, runs[last], blank):
            run = last
        if run and last and not isinstance(last, bytes):  # the segment before it may be a copy
            here = numbers(*[other for other in segments if (other.run or named.get(other.id)) == run])
            copies = [here[number] == crc for number, crc in numbers(*runs[last]).items() if number in here]
            if copies and all(copies):
                runs[run] = runs.pop(last)
        last = run or segment.id
        runs.setdefault(last, []).append(segment)
    return runs.values()


def lines(run, kept):
    """The records of a run, in order. A segment of `kept` after it may say that retention was set."""
    found = [block for segment in run for block in segment.blocks]
    good = {block.number: block for block in found if block.payload is not None}  # one copy of each
    notes["newer"] += sum(block.newer for block in found)
    heads = [segment for segment in run if segment.run] or run
    later = [segment for segment in kept if segment.run and segment.index > run[-1].index]
    begin = min(segment.first for segment in heads) if any(other.flags & RETIRES for other in heads + later) else 0
    notes["missing"] += len(set(range(begin, max(numbers(*run), default=-1) + 1)) - good.keys())
    notes["unclosed"] += not any(block.flags & CLEAN_END for block in good.values())
    firsts = [min(numbers(segment), default=segment.first) for segment in run]
    # But for those of failed segments, whose blocks are in a later segment again, and of a run that was recovered.
    notes["damaged headers"] += not any(block.flags & RECOVERED for block in found) and sum(
        segment.run is None and all(first > firsts[at] for first in firsts[at + 1:]) for at, segment in enumerate(run))
    rows = []
    for block in good.values():
        of_block = list(records(block))
        callsites = dict(definition(row[4]) for row in of_block if row[1] == 0 and row[3] == DEFINITION)
        for *row, kind, payload in of_block:
            if row[1] != 0 and kind in (MESSAGE, STRUCTURED):
                rows.append((row, payload if kind == MESSAGE else structured(callsites, *payload)))
    return [line for _, line in sorted(rows, key=lambda row: row[0]) if line is not None]


def main():
    segments = []
    for path in Path(sys.argv[1]).iterdir():
        number = re.fullmatch(r"(\d{8}|[1-9]\d{8,})\.dlog", path.name)
        if number and path.is_file() and not path.is_symlink():
            segments.extend(segments_of(int(number[1]), path.read_bytes()))
    for run in runs_of(kept := list(own(segments))):
        sys.stdout.buffer.writelines(line + b"\n" for line in lines(run, kept))
    if any(notes.values()):
        print(", ".join(f"{count} {what}" for what, count in notes.items()), file=sys.stderr)
    sys.exit(3 if notes["newer"] else 1 if any(notes.values()) else 0)


main()
