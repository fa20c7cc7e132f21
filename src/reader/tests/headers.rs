//! A segment header that is damaged together with the block after it.

use super::damage::{check, three_segments};
use super::*;

#[test]
fn a_block_that_is_gone_with_the_header_before_it_is_lost_if_nothing_can_have_come_before() {
    let mut run = three_segments();
    let image = &mut run.segments[0];
    let first = image.offsets[1];
    image.bytes[..first + 100].fill(0xa5);
    let report = check(&run, &[0], Verdict::Lost);
    assert_eq!((report.blocks.damaged_headers, report.blocks.lost), (1, 1));
    // In a later file it may have been the first one that is left.
    run.segments.remove(0);
    let image = &mut run.segments[0];
    let first = image.offsets[1];
    image.bytes[..first + 100].fill(0xa5);
    let report = check(&run, &[0, 1, 2], Verdict::Unconfirmed);
    assert!(report.findings.iter().any(|finding| finding.what.ends_with("blocks came before block 3")), "{report:#?}");
}
