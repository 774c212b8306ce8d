use super::*;
use proptest::prelude::*;

fn node(parent: Option<usize>, nominal: u64) -> Node {
    Node { parent, nominal, ..Node::default() }
}

fn lends(max: u64, node: Node) -> Node {
    Node { lend_max: Some(max), ..node }
}

fn borrows(max: u64, node: Node) -> Node {
    Node { borrow_max: Some(max), ..node }
}

fn quotas(nodes: &[Node]) -> Quotas {
    Quotas::new(nodes.to_vec()).unwrap()
}

fn available(quotas: &Quotas, used: &Used, nodes: &[usize]) -> Vec<u64> {
    nodes.iter().map(|node| quotas.available(used, *node)).collect()
}

fn potential(quotas: &Quotas, nodes: &[usize]) -> Vec<u64> {
    let potential: Vec<u64> = nodes.iter().map(|node| quotas.potential(*node)).collect();
    assert_eq!(available(quotas, &quotas.unused(), nodes), potential, "with nothing in use");
    potential
}

/// Three of 10 in a pool with 10 of its own: A without limits, B may borrow 2, C lends 5.
fn three() -> Quotas {
    let (a, b, c) = (node(Some(0), 10), node(Some(0), 10), node(Some(0), 10));
    quotas(&[node(None, 10), a, borrows(2, b), lends(5, c)])
}

#[test]
fn limits_of_lending_and_borrowing_are_kept() {
    let quotas = three();
    assert_eq!(quotas.subtree(0), 35, "40 but for the 5 that C keeps");
    assert_eq!(potential(&quotas, &[1, 2, 3]), [35, 12, 40]);
    let used = quotas.used(&[0, 20, 10, 6]);
    assert_eq!(available(&quotas, &used, &[1, 2, 3]), [4, 2, 4]);
    assert_eq!(quotas.tightest(&used, 2), (2, 2), "what B may borrow");
    assert_eq!(quotas.tightest(&used, 3), (4, 0), "what there is in all");
}

#[test]
fn nodes_alone_have_what_is_theirs() {
    let quotas = quotas(&[node(None, 0), node(None, 5)]);
    assert_eq!(potential(&quotas, &[0, 1]), [0, 5]);
    let used = quotas.used(&[1, 2]);
    assert_eq!(available(&quotas, &used, &[0, 1]), [0, 3]);
    assert!(quotas.lenders(&used, 0).is_empty());
}

#[test]
fn what_is_private_takes_nothing_from_the_pool() {
    let quotas = quotas(&[node(None, 10_000), node(Some(0), 10_000), {
        lends(9_000, node(Some(0), 10_000))
    }]);
    assert_eq!(potential(&quotas, &[1, 2]), [29_000, 30_000]);
    let used = quotas.used(&[0, 1_000, 500]);
    assert_eq!(available(&quotas, &used, &[1, 2]), [28_000, 28_500]);
}

#[test]
fn what_is_used_over_the_whole_spills_even_into_what_is_private() {
    let private = borrows(0, lends(0, node(Some(0), 10)));
    let quotas = quotas(&[node(None, 10), node(Some(0), 10), private]);
    assert_eq!(potential(&quotas, &[1, 2]), [20, 10]);
    let used = quotas.used(&[0, 20, 0]);
    assert_eq!(
        available(&quotas, &used, &[1, 2]),
        [0, 10],
        "the pool is empty, the private part not"
    );
    let used = quotas.used(&[0, 26, 0]);
    assert_eq!(available(&quotas, &used, &[1, 2]), [0, 4], "six of it are in use already");
    let used = quotas.used(&[0, 31, 0]);
    assert_eq!(available(&quotas, &used, &[1, 2]), [0, 0], "31 of 30: nothing is left for anybody");
    assert_eq!(quotas.tightest(&used, 2), (0, 0));
    let lent: u64 = quotas.lenders(&used, 1).iter().map(|loan| loan.amount).sum();
    assert_eq!((quotas.borrowed(&used, 1), lent), (21, 10), "the rest is nobody's to lend");
}

#[test]
fn two_groups_lend_to_each_other() {
    // root { left 10 { cq1 10 }, right 10 { cq2 10, lends nothing } }
    let (left, right) = (node(Some(0), 10), node(Some(0), 10));
    let (cq1, cq2) = (node(Some(1), 10), lends(0, node(Some(2), 10)));
    let quotas = quotas(&[node(None, 0), left, right, cq1, cq2]);
    assert_eq!(potential(&quotas, &[3, 4]), [30, 40]);
    let used = quotas.used(&[0, 0, 0, 10, 5]);
    assert_eq!(available(&quotas, &used, &[3, 4]), [20, 25]);
}

#[test]
fn a_group_borrows_no_more_than_it_may() {
    // root { left 10, borrows 5 { cq1 10, cq2 10 borrows 5 }, right 10 { cq 10 } }
    let (left, right) = (borrows(5, node(Some(0), 10)), node(Some(0), 10));
    let (cq1, cq2) = (node(Some(1), 10), borrows(5, node(Some(1), 10)));
    let quotas = quotas(&[node(None, 0), left, right, cq1, cq2, node(Some(2), 10)]);
    assert_eq!(potential(&quotas, &[3, 4, 5]), [35, 15, 50]);
    assert_eq!(quotas.tightest(&quotas.unused(), 3), (35, 1), "the group's limit");
}

#[test]
fn a_group_lends_no_more_than_it_may() {
    // root { left 0, lends 5 { cq1 10 lends 5, cq2 10 }, right 0 { cq 0 }, cq 0 }
    let (left, right) = (lends(5, node(Some(0), 0)), node(Some(0), 0));
    let (cq1, cq2) = (lends(5, node(Some(1), 10)), node(Some(1), 10));
    let root = [node(None, 0), left, right, cq1, cq2, node(Some(2), 0), node(Some(0), 0)];
    assert_eq!(potential(&quotas(&root), &[3, 4, 5, 6]), [20, 15, 5, 5]);
}

#[test]
fn a_quota_that_is_cut_leaves_its_debts_to_nobody_else() {
    let cut =
        |nominal| quotas(&[node(None, 0), lends(0, node(Some(0), nominal)), node(Some(0), 10)]);
    let own = [0, 8, 0];
    let before = cut(10);
    assert_eq!(available(&before, &before.used(&own), &[1, 2]), [12, 10]);
    let after = cut(3);
    let used = after.used(&own);
    assert_eq!(after.borrowed(&used, 1), 5, "what was its own is a loan now");
    assert_eq!(available(&after, &used, &[1, 2]), [5, 5], "and never less than nothing");
}

#[test]
fn loans_are_told_by_index() {
    let loan = |borrower, lender, amount| Loan { borrower, lender, amount };
    let quotas = three();
    let used = quotas.used(&[4, 20, 10, 6]);
    assert_eq!(quotas.lenders(&used, 1), [loan(1, 0, 6), loan(1, 3, 4)]);
    assert!(quotas.lenders(&used, 2).is_empty(), "it has what is its own");
    // root 0 { left 0 { a 1, b 1 }, right 9 { c 9 } }
    let (left, right) = (node(Some(0), 0), node(Some(0), 9));
    let leaves = [node(Some(1), 1), node(Some(1), 1), node(Some(2), 9)];
    let quotas = super::tests::quotas(&[&[node(None, 0), left, right], &leaves[..]].concat());
    let used = quotas.used(&[0, 2, 0, 5, 4]);
    assert_eq!(quotas.lenders(&used, 1), [loan(1, 2, 9)]);
    assert_eq!(quotas.lenders(&used, 3), [loan(3, 2, 4)], "behind the two of its group");
    assert_eq!(quotas.lenders(&used, 4), [loan(4, 2, 3)]);
}

#[test]
fn what_is_no_tree_is_refused() {
    let fault = |nodes: &[Node]| Quotas::new(nodes.to_vec()).unwrap_err();
    assert_eq!(fault(&[node(Some(1), 0)]), SpillFault::NoParent(0));
    assert_eq!(fault(&[node(Some(1), 0), node(Some(2), 0)]), SpillFault::NoParent(1));
    assert_eq!(fault(&[node(None, 0), node(Some(1), 0)]), SpillFault::TooDeep(1));
    let chain = |levels: usize| -> Vec<Node> {
        (0..levels).map(|level| node(level.checked_sub(1), 1)).collect()
    };
    assert_eq!(quotas(&chain(DEPTH_MAX)).subtree(0), 8);
    assert_eq!(fault(&chain(DEPTH_MAX + 1)), SpillFault::TooDeep(DEPTH_MAX));
    assert_eq!(fault(&[node(None, BitRate::MAX.bps() + 1)]), SpillFault::TooLarge(0));
    let many = vec![node(None, 1); PROJECTS_MAX + 1];
    assert!(fault(&many).to_string().contains("10000 is the most"));
    let text = fault(&[node(None, u64::MAX)]).to_string();
    assert!(text.contains("over the largest rate, 1000Tbit/s"), "{text}");
}

#[test]
fn the_largest_of_all_does_not_wrap() {
    let most = u64::MAX;
    let top = node(None, BitRate::MAX.bps());
    let limits = Node { lend_max: Some(most), borrow_max: Some(most), ..node(Some(0), 0) };
    let quotas = quotas(&[top, limits, limits]);
    let mut used = quotas.unused();
    quotas.add(&mut used, 1, most);
    quotas.add(&mut used, 2, most);
    assert_eq!(available(&quotas, &used, &[0, 1, 2]), [0, 0, 0]);
    quotas.remove(&mut used, 1, most);
    assert_eq!(used.own(1), 0);
}

/// Trees of up to five levels, their nodes in any order.
fn trees() -> impl Strategy<Value = Quotas> {
    let limit = || prop::option::of(0_u64..30);
    let nodes = (any::<prop::sample::Index>(), 0_u64..20, limit(), limit());
    (prop::collection::vec(nodes, 1..14), any::<bool>()).prop_map(|(all, turned)| {
        let mut depths: Vec<usize> = Vec::new();
        let mut nodes: Vec<Node> = Vec::new();
        for (above, nominal, lend_max, borrow_max) in all {
            let parent = above.index(nodes.len() + 1).checked_sub(1);
            let parent = parent.filter(|parent| depths[*parent] < 5);
            depths.push(parent.map_or(0, |parent| depths[parent]) + 1);
            nodes.push(Node { parent, nominal, lend_max, borrow_max });
        }
        if turned {
            let last = nodes.len() - 1;
            nodes.reverse();
            nodes.iter_mut().for_each(|it| it.parent = it.parent.map(|parent| last - parent));
        }
        quotas(&nodes)
    })
}

fn trees_and_wishes() -> impl Strategy<Value = (Quotas, Vec<(usize, u64)>)> {
    trees().prop_flat_map(|quotas| {
        let wishes = prop::collection::vec((0..quotas.nodes().len(), 0_u64..40), 0..40);
        (Just(quotas), wishes)
    })
}

/// What is available as Kueue's documents put it, from the node upwards.
fn naive_available(quotas: &Quotas, own: &[u64], node: usize) -> i128 {
    let it = quotas.nodes()[node];
    let total = i128::from(naive_total(quotas, own, node));
    let subtree = i128::from(quotas.subtree(node));
    let Some(parent) = it.parent else { return subtree - total };
    let private = it.lend_max.map_or(0, |max| (subtree - i128::from(max)).max(0));
    let mut above = naive_available(quotas, own, parent);
    if let Some(max) = it.borrow_max {
        above = above.min(subtree - private - (total - private).max(0) + i128::from(max));
    }
    (private - total).max(0) + above
}

fn naive_total(quotas: &Quotas, own: &[u64], node: usize) -> u64 {
    let children = (0..own.len()).filter(|it| quotas.nodes()[*it].parent == Some(node));
    let spill = |child| naive_total(quotas, own, child).saturating_sub(quotas.private(child));
    own[node] + children.map(spill).sum::<u64>()
}

fn all_available(quotas: &Quotas, used: &Used) -> Vec<u64> {
    (0..quotas.nodes().len()).map(|node| quotas.available(used, node)).collect()
}

/// What a node uses itself, and all below it.
fn all_of(quotas: &Quotas, used: &Used, node: usize) -> u64 {
    let children = (0..quotas.nodes().len()).filter(|it| quotas.nodes()[*it].parent == Some(node));
    used.own(node) + children.map(|child| all_of(quotas, used, child)).sum::<u64>()
}

fn nominal_of(quotas: &Quotas, node: usize) -> u64 {
    let children = (0..quotas.nodes().len()).filter(|it| quotas.nodes()[*it].parent == Some(node));
    quotas.nodes()[node].nominal + children.map(|child| nominal_of(quotas, child)).sum::<u64>()
}

fn holds(quotas: &Quotas, used: &Used) -> Result<(), TestCaseError> {
    for (node, it) in quotas.nodes().iter().enumerate() {
        let most = nominal_of(quotas, node);
        if let (Some(max), true) = (it.borrow_max, it.parent.is_some()) {
            prop_assert!(used.total(node) <= quotas.subtree(node) + max);
            prop_assert!(all_of(quotas, used, node) <= most + max, "{} of {most}", node);
        }
        if it.parent.is_none() {
            prop_assert!(all_of(quotas, used, node) <= most);
            prop_assert_eq!(quotas.borrowed(used, node), 0);
        }
        let left = quotas.private(node).saturating_sub(used.total(node));
        prop_assert!(left <= quotas.available(used, node), "{node}: what is private is there");
        prop_assert!(used.total(node) + quotas.available(used, node) <= quotas.potential(node));
        let lent: u64 = quotas.lenders(used, node).iter().map(|loan| loan.amount).sum();
        prop_assert_eq!(lent, quotas.borrowed(used, node), "each loan has its lender");
    }
    Ok(())
}

/// No share is lent twice, none to oneself, and all loans are somebody's unused share.
fn loans_hold(quotas: &Quotas, used: &Used) -> Result<(), TestCaseError> {
    for pool in 0..quotas.nodes().len() {
        let loans = quotas.loans(used, pool);
        let given = |lender: usize| -> u64 {
            loans.iter().filter(|it| it.lender == lender).map(|it| it.amount).sum()
        };
        let own = quotas.nodes()[pool].nominal.saturating_sub(used.own(pool));
        prop_assert!(given(pool) <= own);
        for child in (0..quotas.nodes().len()).filter(|it| quotas.nodes()[*it].parent == Some(pool))
        {
            let spilt = used.total(child).saturating_sub(quotas.private(child));
            prop_assert!(given(child) <= quotas.lent(child).saturating_sub(spilt));
        }
        prop_assert!(loans.iter().all(|it| it.lender != it.borrower && 0 < it.amount));
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_admitted_one_by_one_keeps_every_rule((quotas, wishes) in trees_and_wishes()) {
        let mut used = quotas.unused();
        for (node, amount) in wishes {
            if quotas.available(&used, node) < amount {
                continue;
            }
            let before = all_available(&quotas, &used);
            quotas.add(&mut used, node, amount);
            let after = all_available(&quotas, &used);
            prop_assert!(after.iter().zip(&before).all(|(after, before)| after <= before));
            holds(&quotas, &used)?;
            loans_hold(&quotas, &used)?;
        }
    }

    #[test]
    fn what_is_available_is_as_in_kueue_however_much_is_used((quotas, wishes) in trees_and_wishes()) {
        let mut used = quotas.unused();
        let mut own = vec![0; quotas.nodes().len()];
        for (node, amount) in wishes {
            let before = all_available(&quotas, &used);
            quotas.add(&mut used, node, amount);
            own[node] += amount;
            prop_assert_eq!(&used, &quotas.used(&own));
            for (node, before) in before.into_iter().enumerate() {
                let expected = u64::try_from(naive_available(&quotas, &own, node).max(0)).unwrap();
                prop_assert_eq!(quotas.available(&used, node), expected);
                prop_assert!(expected <= before);
                prop_assert_eq!(used.total(node), naive_total(&quotas, &own, node));
            }
            loans_hold(&quotas, &used)?;
        }
        for (node, amount) in own.clone().into_iter().enumerate() {
            quotas.remove(&mut used, node, amount / 2);
            own[node] -= amount / 2;
            prop_assert_eq!(&used, &quotas.used(&own));
            quotas.remove(&mut used, node, u64::MAX);
            own[node] = 0;
        }
        prop_assert_eq!(used, quotas.unused());
    }
}
