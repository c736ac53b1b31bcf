use std::net::IpAddr;

use proptest::{prelude::*, strategy::ValueTree};

use super::*;

const WORKERS: &str = "sg-workers";

fn net(text: &str) -> IpNet {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).expect("an address or a block")
}

fn peer(text: &str) -> RulePeer {
    match text {
        _ if text.starts_with("sg-") => RulePeer::Group { id: text.to_owned(), account: None },
        _ if text.starts_with("pl-") => RulePeer::PrefixList(text.to_owned()),
        _ => match net(text) {
            IpNet::V4(net) => RulePeer::Ipv4(net),
            IpNet::V6(net) => RulePeer::Ipv6(net),
        },
    }
}

/// `tcp 443 sg-a`, `tcp 0-65535 10.0.0.0/8`, `-1 * 0.0.0.0/0`; with `GROUP:` before it where it is not the workers'.
fn rule(text: &str) -> SecurityGroupRule {
    let (group, text) = text.split_once("> ").unwrap_or((WORKERS, text));
    let words: Vec<&str> = text.split(' ').collect();
    let (direction, words) = if words[0] == "in" { (false, &words[1..]) } else { (true, &words[..]) };
    let ports = (words[1] != "*").then(|| {
        let (first, last) = words[1].split_once('-').unwrap_or((words[1], words[1]));
        (first.parse().expect("a port"), last.parse().expect("a port"))
    });
    SecurityGroupRule {
        group: group.to_owned(),
        egress: direction,
        protocol: words[0].parse().expect("a protocol"),
        from_port: ports.map(|ports| ports.0),
        to_port: ports.map(|ports| ports.1),
        peer: peer(words[2]),
        description: Some("why".to_owned()),
        tags: [("Name".to_owned(), "x".to_owned())].into_iter().collect(),
        rule_id: Some("sgr-1".to_owned()),
    }
}

fn text(rules: &[SecurityGroupRule]) -> String {
    let line = |rule: &SecurityGroupRule| {
        let ports = rule.ports().map_or("*".to_owned(), |(first, last)| format!("{first}-{last}"));
        format!("{} {ports} {}", rule.protocol, rule.peer)
    };
    rules.iter().map(line).collect::<Vec<_>>().join(", ")
}

fn members(rows: &[(&str, &[&str], &[&str])]) -> Members {
    let nets = |texts: &[&str]| texts.iter().map(|text| net(text)).collect();
    rows.iter()
        .map(|(id, inside, outside)| ((*id).to_owned(), Addresses { inside: nets(inside), outside: nets(outside) }))
        .collect()
}

fn known() -> Members {
    members(&[
        ("sg-a", &["10.0.3.10", "fd00::a"], &["54.1.2.3"]),
        ("sg-same", &["10.0.3.10"], &[]),
        ("sg-more", &["10.0.3.10", "10.0.3.11"], &["54.1.2.3"]),
        ("sg-far", &["10.0.9.9"], &["54.1.2.3"]),
        ("sg-empty", &[], &[]),
        (WORKERS, &["10.0.1.5", "10.0.1.6"], &[]),
    ])
}

fn cut_with(
    rules: &[SecurityGroupRule],
    of: &str,
    port: u16,
    members: &Members,
    own: Option<&str>,
) -> Result<RuleDiff, Refusal> {
    let (peer, own) = (peer(of), own.map(peer));
    Between { workers: WORKERS, rules, peer: &peer, port, members, own: own.as_ref() }.cut()
}

#[test]
fn what_is_taken_and_what_remains() {
    for (rules, of, port, revoke, authorize) in [
        ("tcp 443 sg-a", "sg-a", 443, &[0][..], ""),
        ("tcp 443 10.0.3.0/24", "10.0.3.0/24", 443, &[0], ""),
        ("tcp 443 pl-1", "pl-1", 443, &[0], ""),
        ("tcp 443 10.0.3.7/24", "10.0.3.0/24", 443, &[0], ""),
        // More ports.
        ("tcp 440-450 sg-a", "sg-a", 443, &[0], "tcp 440-442 sg-a, tcp 444-450 sg-a"),
        ("tcp 443-450 sg-a", "sg-a", 443, &[0], "tcp 444-450 sg-a"),
        ("tcp 440-443 sg-a", "sg-a", 443, &[0], "tcp 440-442 sg-a"),
        ("tcp * sg-a", "sg-a", 0, &[0], "tcp 1-65535 sg-a"),
        ("tcp * sg-a", "sg-a", 65_535, &[0], "tcp 0-65534 sg-a"),
        // Other ports, protocols and directions stay.
        ("tcp 3000 sg-a, udp 443 sg-a, icmp * sg-a, 50 * sg-a, in tcp 443 sg-a, tcp 443 sg-a", "sg-a", 443, &[5], ""),
        // More and fewer addresses, and more of both.
        ("tcp 443 10.0.2.0/23", "10.0.3.0/24", 443, &[0], "tcp 443-443 10.0.2.0/24"),
        ("tcp 443 10.0.3.8/32", "10.0.3.0/24", 443, &[0], ""),
        ("tcp 442-443 10.0.2.0/23", "10.0.3.0/24", 443, &[0], "tcp 442-442 10.0.2.0/23, tcp 443-443 10.0.2.0/24"),
        // Several rules; a remainder that is there already, or is one of two rules, is authorized once or not at all.
        ("tcp 443 sg-a, tcp 400-443 sg-a", "sg-a", 443, &[0, 1], "tcp 400-442 sg-a"),
        ("tcp 443-444 sg-a, tcp 444 sg-a", "sg-a", 443, &[0], ""),
        (
            "tcp 443 10.0.2.0/23, tcp 443-444 10.0.2.0/23",
            "10.0.3.0/24",
            443,
            &[0, 1],
            "tcp 443-443 10.0.2.0/24, tcp 444-444 10.0.2.0/23",
        ),
        // Blocks around known members.
        ("tcp 443 10.0.3.8/30", "sg-a", 443, &[0], "tcp 443-443 10.0.3.8/31, tcp 443-443 10.0.3.11/32"),
        ("tcp 443 10.0.4.0/24, tcp 443 54.1.2.3/32, tcp 443 fd00::a/128", "sg-a", 443, &[1, 2], ""),
        ("tcp 443 sg-same, tcp 443 ::/0", "sg-same", 443, &[0], ""),
        // Other groups.
        ("tcp 443 sg-same", "sg-a", 443, &[0], ""),
        ("tcp 443 sg-far, tcp 443 sg-a", "sg-a", 443, &[1], ""),
        ("tcp 443 sg-more", "10.0.3.0/24", 443, &[0], ""),
    ] {
        let name = format!("{rules} without {of}:{port}");
        let rules: Vec<SecurityGroupRule> = rules.split(", ").map(rule).collect();
        let diff = cut_with(&rules, of, port, &known(), None).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let wanted: Vec<_> = revoke.iter().map(|index| rules[*index].clone()).collect();
        assert_eq!(diff.revoke, wanted, "{name}");
        assert_eq!(text(&diff.authorize), authorize, "{name}");
        for piece in &diff.authorize {
            assert_eq!((piece.description.as_deref(), piece.tags.len()), (Some("why"), 1), "{name}");
            assert_eq!((piece.group.as_str(), piece.egress, piece.rule_id.as_ref()), (WORKERS, true, None), "{name}");
        }
        let undo = diff.undo();
        assert_eq!((&undo.revoke, &undo.authorize), (&diff.authorize, &diff.revoke), "{name}");
    }
}

#[test]
fn everything_but_one_address_is_32_blocks() {
    let diff = cut_with(&[rule("tcp 443 0.0.0.0/0")], "10.0.3.10/32", 443, &Members::new(), None).expect("a diff");
    assert_eq!(diff.authorize.len(), MOST_BLOCKS);
}

#[test]
fn what_cannot_be_cut_exactly_is_refused() {
    let none = Members::new();
    for (rules, of, members, reason) in [
        (vec!["tcp 443 0.0.0.0/0"], "sg-a", &none, "may lead to sg-a as well, whose addresses are not known"),
        (vec!["tcp 443 0.0.0.0/0"], "pl-1", &none, "may lead to pl-1 as well, whose addresses are not known"),
        (vec!["tcp 443 0.0.0.0/0"], "sg-empty", &known(), "whose addresses are not known"),
        (vec!["tcp 443 ::/0"], "sg-a", &none, "may lead to sg-a as well"),
        (vec!["tcp 443 sg-a", "tcp 443 0.0.0.0/0"], "sg-a", &none, "egress tcp 443 to 0.0.0.0/0"),
        (vec!["tcp 443 sg-b"], "sg-a", &none, "whose addresses are not known"),
        (vec!["tcp 443 sg-b"], "sg-a", &known(), "which addresses are behind sg-b is not known"),
        (vec!["tcp 443 sg-b"], "10.0.3.0/24", &known(), "which addresses are behind sg-b is not known"),
        (vec!["tcp 443 sg-empty"], "10.0.3.0/24", &known(), "which addresses are behind sg-empty is not known"),
        (vec!["tcp 443 pl-1"], "10.0.3.0/24", &known(), "which addresses are behind pl-1 is not known"),
        (vec!["tcp 443 sg-more"], "10.0.3.10/32", &known(), "cannot tell the members of sg-more apart"),
        (vec!["tcp 443 0.0.0.0/0"], "sg-a", &known(), "more than 32 rules"),
        (vec!["tcp 443 ::/0"], "fd00::a/128", &none, "more than 32 rules"),
        (vec!["-1 * sg-a"], "sg-a", &none, "lets all protocols through"),
        (vec!["-1 * 0.0.0.0/0"], "10.0.3.0/24", &none, "lets all protocols through"),
        (vec!["sg-other> tcp 443 sg-a", "tcp 443 sg-a"], "sg-a", &none, "the workers carry sg-other as well"),
        (vec![], "sg-a", &none, "nothing to cut"),
        (vec!["tcp 3000 sg-a", "udp 443 sg-a", "in tcp 443 sg-a"], "sg-a", &none, "nothing to cut"),
    ] {
        let found: Vec<SecurityGroupRule> = rules.iter().map(|text| rule(text)).collect();
        let refusal = cut_with(&found, of, 443, members, None).expect_err("a refusal");
        assert!(refusal.reason.contains(reason), "{rules:?} {of}: {refusal}");
    }
}

#[test]
fn our_own_path_is_never_cut() {
    let rules = [rule("tcp 443 sg-a")];
    for (own, members, refused) in [
        (WORKERS, &Members::new(), true),
        ("sg-own", &Members::new(), false),
        ("sg-own", &members(&[(WORKERS, &["10.0.1.5"], &[]), ("sg-own", &["10.0.1.5"], &[])]), true),
        ("sg-far", &known(), false),
        ("10.0.1.0/24", &known(), true),
        ("10.0.8.0/24", &known(), false),
        ("10.0.8.0/24", &Members::new(), true),
        ("pl-1", &known(), true),
    ] {
        assert_eq!(cut_with(&rules, "sg-a", 443, members, Some(own)).is_err(), refused, "{own}");
    }
}

// A model of what EC2 lets through, on a world that is small enough to try every way.

const PEERS: [&str; 11] = [
    "sg-a",
    "sg-same",
    "sg-more",
    "sg-far",
    "sg-unknown",
    "pl-1",
    "10.0.3.10/32",
    "10.0.3.8/30",
    "10.0.3.0/24",
    "0.0.0.0/0",
    "fd00::/124",
];
const PROTOCOLS: [&str; 8] = ["tcp", "tcp", "tcp", "tcp", "tcp", "udp", "50", "-1"];
const PORTS: [i32; 7] = [0, 1, 442, 443, 444, 65_534, 65_535];

fn world() -> Members {
    let mut world = known();
    world.extend(members(&[
        ("pl-1", &["10.0.3.8/31", "10.0.9.0/24"], &[]),
        ("sg-unknown", &["10.0.3.10", "10.0.5.5"], &[]),
    ]));
    world
}

fn addresses() -> Vec<IpNet> {
    let texts = [
        "10.0.3.7",
        "10.0.3.11",
        "10.0.3.12",
        "10.0.3.200",
        "10.0.4.1",
        "10.0.9.9",
        "10.0.5.5",
        "0.0.0.0",
        "255.255.255.255",
    ];
    texts.into_iter().chain(["10.0.3.8", "10.0.3.9", "10.0.3.10", "54.1.2.3", "fd00::a", "fd00::b"]).map(net).collect()
}

fn behind(world: &Members, peer: &RulePeer, address: &IpNet, public: bool) -> bool {
    match peer {
        RulePeer::Ipv4(net) => IpNet::V4(*net).contains(address),
        RulePeer::Ipv6(net) => IpNet::V6(*net).contains(address),
        RulePeer::PrefixList(id) | RulePeer::Group { id, account: _ } => {
            let found = &world[id];
            let more = if public { found.outside.as_slice() } else { &[] };
            found.inside.iter().chain(more).any(|net| net.contains(address))
        }
    }
}

fn allowed(rules: &[SecurityGroupRule], world: &Members, protocol: Protocol, port: i32, to: &IpNet) -> bool {
    rules.iter().any(|rule| {
        rule.egress
            && (rule.protocol == Protocol::All || rule.protocol == protocol)
            && rule.ports().is_none_or(|(first, last)| (first..=last).contains(&port))
            && behind(world, &rule.peer, to, false)
    })
}

/// What EC2 would hold after the diff. It answers a duplicate and an absent rule with an error.
fn apply(rules: &[SecurityGroupRule], diff: &RuleDiff) -> Vec<SecurityGroupRule> {
    let mut rules = rules.to_vec();
    for rule in &diff.authorize {
        assert!(!rules.iter().any(|there| there.same_rule(rule)), "a duplicate: {rule}");
        rules.push(rule.clone());
    }
    for rule in &diff.revoke {
        let before = rules.len();
        rules.retain(|there| !there.same_rule(rule));
        assert_eq!(rules.len() + 1, before, "{rule} was not there");
    }
    rules
}

fn rules() -> impl Strategy<Value = Vec<SecurityGroupRule>> {
    let one = (0..PROTOCOLS.len(), 0..PORTS.len(), 0..PORTS.len(), 0..PEERS.len(), 0..24_u8);
    prop::collection::vec(one, 1..5).prop_map(|rows| {
        let mut rules: Vec<SecurityGroupRule> = vec![];
        for (protocol, a, b, peer, kind) in rows {
            let ports = format!("{}-{}", PORTS[a.min(b)], PORTS[a.max(b)]);
            let ports = if PROTOCOLS[protocol] == "-1" { "*".to_owned() } else { ports };
            let before = match kind {
                0 => "in ",
                1 => "sg-other> ",
                _ => "",
            };
            let new = rule(&format!("{before}{} {ports} {}", PROTOCOLS[protocol], PEERS[peer]));
            if !rules.iter().any(|there| there.same_rule(&new)) {
                rules.push(new);
            }
        }
        rules
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn only_the_cut_changes(rules in rules(), of in 0..PEERS.len(), port in 0..PORTS.len(), all_known: bool) {
        let (world, of) = (world(), peer(PEERS[of]));
        let mut seen = world.clone();
        if !all_known {
            seen.remove("sg-unknown");
            seen.remove("sg-more");
            seen.remove("pl-1");
        }
        let port = PORTS[port];
        let between = Between {
            workers: WORKERS,
            rules: &rules,
            peer: &of,
            port: u16::try_from(port).expect("a port"),
            members: &seen,
            own: None,
        };
        let Ok(diff) = between.cut() else { return Ok(()) };
        prop_assert!(diff.revoke.iter().chain(&diff.authorize).all(|rule| rule.egress && rule.group == WORKERS));
        let after = apply(&rules, &diff);
        for to in addresses() {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp, Protocol::Number(50)] {
                for tried in PORTS {
                    let was = allowed(&rules, &world, protocol, tried, &to);
                    let is = allowed(&after, &world, protocol, tried, &to);
                    let cut = protocol == Protocol::Tcp && tried == port && behind(&world, &of, &to, true);
                    prop_assert_eq!(is, was && !cut, "{} {} {}: {:?}", protocol, tried, to, diff);
                }
            }
        }
        let mut healed = apply(&after, &diff.undo());
        let mut baseline = rules.clone();
        healed.sort_by_key(SecurityGroupRule::key);
        baseline.sort_by_key(SecurityGroupRule::key);
        prop_assert_eq!(healed, baseline);
    }
}

/// The property above says nothing where nothing is cut: enough of its cases are.
#[test]
fn the_property_is_not_vacuous() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (world, mut cut, mut split) = (world(), 0, 0);
    for round in 0..1_000 {
        let rules = rules().new_tree(&mut runner).expect("rules").current();
        if let Ok(diff) = cut_with(&rules, PEERS[round % PEERS.len()], 443, &world, None) {
            cut += 1;
            split += usize::from(!diff.authorize.is_empty());
        }
    }
    assert!(cut > 200 && split > 100, "of 1000: {cut} cut, {split} split");
}
