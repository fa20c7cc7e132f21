//! Bytes that nobody vouches for are survived: the targets of fuzzing (`scripts/fuzz.sh`) get the inputs that are kept
//! in `tests/corpus`, and changed ones.
#![cfg(feature = "unstable")]
#![allow(clippy::print_stdout, reason = "which input it was, if a test fails")]

mod support;

use std::path::Path;

use diolog::unstable::fuzz::TARGETS;
use support::random::{Random, seeds};

/// The longest input that is made.
const BYTES_MAX: usize = 1 << 16;

/// The inputs that are kept for a target, by name, with its own one of no bytes.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let mut inputs = vec![(String::from("nothing"), Vec::new())];
    for entry in std::fs::read_dir(folder).expect("a corpus for each target") {
        let path = entry.expect("an entry").path();
        inputs.push((path.display().to_string(), std::fs::read(path).expect("an input")));
    }
    inputs.sort();
    inputs
}

#[test]
fn inputs_that_are_kept_are_survived() {
    let directory = support::directory();
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() > 2, "{name} has a corpus");
        for (input, bytes) in inputs {
            println!("{name}: {input}");
            target(&bytes, directory.path());
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 0, "nothing is left");
}

#[test]
fn changed_inputs_are_survived() {
    let directory = support::directory();
    for seed in seeds(0..4) {
        for (name, target) in TARGETS {
            let mut random = Random::new(seed);
            let inputs = corpus(name);
            // Some write files, and sync them.
            let tries = match *name {
                "segment" => 200,
                "ring_file" | "recovery" => 10,
                _ => 5000,
            };
            for number in 0..tries {
                let input = |random: &mut Random| &inputs[random.below(inputs.len() as u64) as usize].1;
                let mut bytes = input(&mut random).clone();
                for _ in 0..1 + random.below(6) {
                    let other = input(&mut random);
                    change(&mut bytes, other, &mut random);
                }
                println!("DIOLOG_SEED={seed} {name}, input {number}");
                target(&bytes, directory.path());
            }
        }
    }
}

/// Changes the bytes somewhere, as an attacker or an accident would.
fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let place = |bytes: &[u8], random: &mut Random| random.below(bytes.len() as u64 + 1) as usize;
    let at = place(bytes, random);
    let length = random.below(16) as usize;
    match random.below(7) {
        0 => bytes.truncate(at),
        1 => bytes.splice(at..at, (0..length).map(|_| 0xFF)).for_each(drop),
        2 => bytes.drain(at..bytes.len().min(at + length)).for_each(drop),
        3 => {
            let from = place(other, random);
            bytes.splice(at.., other[from..].iter().copied()).for_each(drop);
        }
        4 => {
            const TELLING: [u64; 8] = [0, 1, 0x7F, 0x80, 0xFFFF, u32::MAX as u64, i64::MAX as u64, u64::MAX];
            let value = TELLING[random.below(8) as usize].to_le_bytes();
            let width = 1 << random.below(4);
            bytes.iter_mut().skip(at).take(width).zip(value).for_each(|(byte, value)| *byte = value);
        }
        _ => bytes.iter_mut().skip(at).take(1 + length / 4).for_each(|byte| *byte = random.number() as u8),
    }
    bytes.truncate(BYTES_MAX);
}
