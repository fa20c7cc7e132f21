//! Raw ticks and the clocks they are compared with.
