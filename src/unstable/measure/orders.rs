//! Records of two integers and a price, as a service logs them: a counter, a number below 2^20 drawn at random, and a
//! number with two decimals. For `sustained`.

use std::hint::black_box;

use super::random::Random;
use crate::callsite::Callsite;
use crate::{Level, Outcome, Producer, Value, event, info};

/// Callsites that take turns.
pub(super) const CALLSITES: usize = 1000;

/// How many orders are drawn before anything is timed. They are few enough for the L1 cache.
const DRAWN: usize = 1024;

/// An order, without its counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) id: u32,
    pub(super) price: f64,
}

/// The first number of a producer's counter: it has as many bytes as that of a service that has run for a while.
pub(super) const FIRST: u64 = 4_000_000;

/// Orders drawn at random, the same each time.
pub(super) fn draw() -> Vec<Order> {
    let mut random = Random::new();
    let draw = |_| Order { id: (random.draw() >> 44) as u32, price: (random.draw() % 1_000_000) as f64 / 100.0 };
    (0..DRAWN).map(draw).collect()
}

/// Appends `records` orders from one callsite. Returns whether all were written.
#[inline]
pub fn append_orders(producer: &Producer, records: u64) -> bool {
    let drawn = draw();
    (FIRST..FIRST + records).zip(drawn.iter().cycle()).all(|(number, &Order { id, price })| {
        info!(producer, "order {id} filled at {price:.2}", number, id, price) == Outcome::Written
    })
}

/// The values that [`append_orders`] has appended: the counter, the id and the price of each record.
pub(super) fn expected(records: u64) -> impl Iterator<Item = [Option<Value<'static>>; 3]> {
    (FIRST..FIRST + records).zip(draw().into_iter().cycle()).map(|(number, Order { id, price })| {
        [Value::Unsigned(number), Value::Unsigned(id.into()), Value::F64(price)].map(Some)
    })
}

/// As [`append_orders`], with integers of 64 random bits, which no encoding makes shorter.
#[inline]
pub fn append_random(producer: &Producer, records: u64) -> bool {
    let mut random = Random::new();
    let drawn = draw();
    (0..records).zip(drawn.iter().cycle()).all(|(_, &Order { price, .. })| {
        let (number, id) = (random.draw(), random.draw());
        info!(producer, "order {id} filled at {price:.2}", number, id, price) == Outcome::Written
    })
}

/// As [`append_orders`], from `CALLSITES` callsites in turn.
#[inline]
pub fn append_in_turn(producer: &Producer, records: u64) -> bool {
    let drawn = draw();
    let sites = black_box(&SITES);
    (FIRST..FIRST + records).zip(drawn.iter().cycle()).zip(sites.iter().cycle()).all(|((number, order), site)| {
        let Order { id, price } = *order;
        event::append(producer, Level::Info, site, ((((), number), id), price)) == Outcome::Written
    })
}

/// Places of a program that differ in their lines.
static SITES: [Callsite; CALLSITES] = {
    const fn site(line: u32) -> Callsite {
        let template = "order {id} filled at {price:.2}";
        Callsite::new(Level::Info, module_path!(), file!(), line, template, &["number", "id", "price"])
    }
    let mut sites = [const { site(0) }; CALLSITES];
    let mut at = 0;
    while at < CALLSITES {
        sites[at] = site(at as u32);
        at += 1;
    }
    sites
};
