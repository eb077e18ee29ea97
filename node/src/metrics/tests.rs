//! The exposition is an API: names, kinds, labels, both text forms, and the document about them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use bitchat_protocol::copies::CopiesSeen;
use bitchat_protocol::engine::DeliveryState;
use bitchat_protocol::id::MessageId;
use bitchat_protocol::prekey::{PrekeyUse, Remaining};
use bitchat_protocol::resilience::breaker::{Move, Operation, State};
use bitchat_protocol::resilience::{Class, Scope};

use super::label::{Limit, LimitScope};
use super::*;

const NOW: UnixMillis = UnixMillis(10_000);

#[test]
fn facts_move_the_counters_that_are_named_after_them() {
    let metrics = Metrics::new(UnixMillis(1_500));
    for fact in facts() {
        metrics.observe(&fact);
    }

    let text = metrics.encode(Format::Classic, NOW);

    for line in [
        r#"bitchat_messages_total{direction="outbound",kind="text"} 1"#,
        r#"bitchat_messages_total{direction="inbound",kind="text"} 1"#,
        r#"bitchat_delivery_seconds_sum{stage="delivered"} 0.25"#,
        r#"bitchat_delivery_seconds_bucket{le="0.25",stage="delivered"} 1"#,
        r#"bitchat_delivery_seconds_bucket{le="0.1",stage="delivered"} 0"#,
        "bitchat_inbox_duplicates_total 1",
        r#"bitchat_refused_total{reason="decrypt"} 1"#,
        r#"bitchat_refused_total{reason="other"} 1"#,
        "bitchat_kem_exchanges_total 1",
        r#"bitchat_sessions_founded_total{role="initiator",prekeys="last_resort"} 1"#,
        r#"bitchat_sessions_founded_total{role="responder",prekeys="one_time"} 0"#,
        r#"bitchat_prekeys_remaining{algorithm="x25519"} 99"#,
        r#"bitchat_prekeys_remaining{algorithm="ml_kem"} 98"#,
        "bitchat_prekeys_exhausted_total 1",
        r#"bitchat_ratelimit_rejected_total{scope="tier",class="handshake"} 1"#,
        r#"bitchat_ratelimit_rejected_total{scope="peer",class="handshake"} 0"#,
        "bitchat_ratelimit_keys 7",
        r#"bitchat_session_heals_total{reason="decrypt"} 1"#,
        r#"bitchat_session_heals_total{reason="other"} 1"#,
        r#"bitchat_session_heals_total{reason="spent"} 0"#,
        "bitchat_unreadable_total 6",
        r#"bitchat_key_changes_total{outcome="blocked"} 1"#,
        r#"bitchat_key_changes_total{outcome="accepted"} 0"#,
        "bitchat_keys_skipped_total 3",
        "bitchat_keys_evicted_total 2",
        "bitchat_retries_total 1",
        "bitchat_gaps_total 1",
        "bitchat_outbox_messages 4",
        "bitchat_outbox_oldest_age_seconds 7.5",
        r#"bitchat_bound_reached_total{bound="inbox"} 1"#,
        r#"bitchat_errors_total{category="internal",code="bug"} 1"#,
        "process_start_time_seconds 1.5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_age_of_the_oldest_message_grows_with_the_clock_and_ends_with_the_queue() {
    let metrics = Metrics::new(UnixMillis(0));
    let age = |now| {
        let text = metrics.encode(Format::Classic, now);
        value(&text, "bitchat_outbox_oldest_age_seconds")
    };
    assert_eq!(age(NOW), "0.0");

    metrics.observe(&Fact::Outbox { rows: 1, oldest_ms: Some(9_000) });
    assert_eq!(age(NOW), "1.0");
    assert_eq!(age(UnixMillis(12_000)), "3.0");
    assert_eq!(age(UnixMillis(1_000)), "0.0"); // The clock was set back.

    metrics.observe(&Fact::Outbox { rows: 0, oldest_ms: None });
    assert_eq!(age(NOW), "0.0");
}

#[test]
fn a_warning_is_one_while_it_stands() {
    let metrics = Metrics::new(UnixMillis(0));
    let stands = || {
        let text = metrics.encode(Format::Classic, NOW);
        value(&text, r#"bitchat_warning{code="disk_low"}"#)
    };

    metrics.warnings([WarningCode::DiskLow]);
    assert_eq!(stands(), "1");
    metrics.warnings([]);
    assert_eq!(stands(), "0");
}

#[test]
fn every_label_of_the_protocols_errors_is_a_reason_of_its_own() {
    for label in [
        "malformed",
        "not_authentic",
        "stale",
        "counter_jump",
        "decrypt",
        "spent",
        "stranger",
        "untrusted",
        "unsupported",
        "busy",
        "store",
        "bug",
    ] {
        assert_eq!(Reason::from_label(label).as_str(), label);
    }
}

#[test]
fn links_and_flushes_are_plain_numbers() {
    let metrics = Metrics::new(UnixMillis(0));
    metrics.links(Transport::Quic, Direction::Inbound, 3);
    metrics.flushed(Duration::from_millis(2), 5);

    let text = metrics.encode(Format::Classic, NOW);

    assert_eq!(value(&text, r#"bitchat_connections{transport="quic",direction="inbound"}"#), "3");
    assert_eq!(value(&text, "bitchat_store_batch_size_sum"), "5.0");
    assert_eq!(value(&text, r#"bitchat_store_flush_seconds_bucket{le="0.0025"}"#), "1");
    assert_eq!(value(&text, r#"bitchat_store_flush_seconds_bucket{le="0.001"}"#), "0");
}

#[test]
fn erasure_is_two_ages_and_a_count() {
    let metrics = Metrics::new(UnixMillis(0));
    metrics.erasure(Duration::from_secs(90), Duration::from_secs(60), 5);
    metrics.erasure(Duration::from_secs(91), Duration::ZERO, 2);

    let text = metrics.encode(Format::Classic, NOW);

    assert_eq!(value(&text, "bitchat_store_epoch_age_seconds"), "91.0");
    assert_eq!(value(&text, "bitchat_store_unerased_age_seconds"), "0.0");
    assert_eq!(value(&text, "bitchat_store_rewrapped_rows_total"), "7");
}

#[test]
fn the_classic_form_names_every_sample_after_its_family() {
    let text = exercised().encode(Format::Classic, NOW);
    let families = families(&text);

    assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
    for (name, family) in &families {
        assert!(name.starts_with("bitchat_") || name.starts_with("process_"), "{name}");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name}");
        assert!(!family.help.is_empty());
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let histogram = base.is_some_and(|base| {
            families.get(base).is_some_and(|family| family.kind == "histogram")
        });
        assert!(histogram || families.contains_key(name), "{line}");
        let number = line.rsplit(' ').next().unwrap();
        assert!(number.parse::<f64>().is_ok(), "{line}");
    }
    assert_eq!(families["bitchat_build_info"].kind, "gauge");
    assert!(text.contains(concat!(
        "bitchat_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"} 1\n"
    )));
}

#[test]
fn the_open_form_ends_with_its_mark() {
    let text = exercised().encode(Format::OpenMetrics, NOW);

    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains("# TYPE bitchat_retries counter\n"));
    assert!(text.contains("# TYPE bitchat_build info\n"));
}

#[test]
fn the_form_is_chosen_by_what_the_reader_accepts() {
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.5,*/*;q=0.1";
    assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
    assert_eq!(Format::accepted("text/plain, application/openmetrics-text"), Format::OpenMetrics);
    for classic in ["", "*/*", "text/plain", "application/openmetrics-text;q=0", "text/html"] {
        assert_eq!(Format::accepted(classic), Format::Classic, "{classic}");
    }
}

#[test]
fn promtool_accepts_the_classic_form() {
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        println!("skipped: needs promtool");
        return;
    };
    let text = exercised().encode(Format::Classic, NOW);
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();

    let output = tool.wait_with_output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The number of series must not depend on how many contacts or messages there are.
#[test]
fn repetition_adds_no_series() {
    let metrics = exercised();
    let series = |metrics: &Metrics| {
        let text = metrics.encode(Format::Classic, NOW);
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    let before = series(&metrics);

    for _ in 0..1_000 {
        facts().iter().for_each(|fact| metrics.observe(fact));
    }

    assert_eq!(series(&metrics), before);
}

#[test]
fn families_of_others_share_the_registry() {
    let metrics = Metrics::with(UnixMillis(0), |registry| {
        let gauge = prometheus_client::metrics::gauge::Gauge::<i64>::default();
        registry.register("elsewhere", "Not ours", gauge);
    });

    assert!(metrics.encode(Format::Classic, NOW).contains("\nelsewhere 0\n"));
}

#[test]
fn every_family_stands_in_the_document_and_nothing_else_does() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let written: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    let text = exercised().encode(Format::Classic, NOW);
    let mut table = String::new();
    for (name, family) in families(&text) {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, help) = (family.kind, family.help);
        writeln!(table, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }

    assert_eq!(written, table.lines().collect::<Vec<_>>(), "the table should be\n{table}");
}

#[test]
fn every_label_value_stands_in_the_document() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (_, values) = document.split_once("## Label values").unwrap();
    let words: BTreeSet<&str> =
        values.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).collect();
    let ours = [
        Transport::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>(),
        Direction::ALL.iter().map(|value| value.as_str()).collect(),
        Kind::ALL.iter().map(|value| value.as_str()).collect(),
        Stage::ALL.iter().map(|value| value.as_str()).collect(),
        Reason::ALL.iter().map(|value| value.as_str()).collect(),
        Role::ALL.iter().map(|value| value.as_str()).collect(),
        Limit::ALL.iter().map(|value| value.as_str()).collect(),
        LimitScope::ALL.iter().map(|value| value.as_str()).collect(),
        Founding::ALL.iter().map(|value| value.as_str()).collect(),
        Algorithm::ALL.iter().map(|value| value.as_str()).collect(),
        Route::ALL.iter().map(|value| value.as_str()).collect(),
        WarningCode::ALL.iter().map(|value| value.as_str()).collect(),
        Rung::ALL.iter().map(|value| value.as_str()).collect(),
        Queue::ALL.iter().map(|value| value.as_str()).collect(),
        EvictionCause::ALL.iter().map(|value| value.as_str()).collect(),
        RefusedAs::ALL.iter().map(|value| value.as_str()).collect(),
    ];

    for value in ours.iter().flatten() {
        assert!(words.contains(value), "{value}");
    }
}

/// One family of the classic form.
struct Family<'a> {
    kind: &'a str,
    help: &'a str,
    labels: BTreeSet<&'a str>,
}

fn families(text: &str) -> BTreeMap<&str, Family<'_>> {
    let mut families = BTreeMap::new();
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let (named, help) = help.split_once(' ').unwrap();
            assert_eq!(named, name, "HELP and TYPE name different families");
            let family = Family { kind, help, labels: BTreeSet::new() };
            assert!(families.insert(name, family).is_none(), "{name} stands there twice");
        } else if let Some((name, rest)) = line.split_once('{') {
            let name = if families.contains_key(name) { name } else { stem(name) };
            let labels = rest.split_once('}').unwrap().0.split(',');
            let names = labels.map(|label| label.split_once('=').unwrap().0);
            families.get_mut(name).unwrap().labels.extend(names.filter(|name| *name != "le"));
        }
    }
    families
}

/// The family of a histogram's sample.
fn stem(name: &str) -> &str {
    name.rsplit_once('_').unwrap().0
}

fn value(text: &str, series: &str) -> String {
    let line =
        text.lines().find(|line| line.strip_prefix(series).is_some_and(|r| r.starts_with(' ')));
    line.unwrap_or_else(|| panic!("{series} is not in\n{text}"))
        .rsplit(' ')
        .next()
        .unwrap()
        .to_owned()
}

/// Metrics in which every family has a series.
fn exercised() -> Metrics {
    let metrics = Metrics::new(UnixMillis(1_500));
    facts().iter().for_each(|fact| metrics.observe(fact));
    metrics.flushed(Duration::from_millis(1), 1);
    metrics.request(Route::Status, 200, Duration::from_millis(1));
    metrics.error(&NodeError::NoPassphrase);
    metrics
}

const OPENED: Move = Move { operation: Operation::Dial, from: State::Closed, to: State::Open };

/// One of each fact.
fn facts() -> Vec<Fact> {
    vec![
        Fact::Queued,
        Fact::Reached { state: DeliveryState::Delivered, after: Duration::from_millis(250) },
        Fact::Received,
        Fact::Duplicate,
        Fact::Refused("decrypt"),
        Fact::Refused("something new"),
        Fact::SealDropped,
        Fact::RateLimited { scope: Scope::Tier, class: Class::Handshake },
        Fact::LimitKeys(7),
        Fact::KemMixed,
        Fact::SessionFounded { initiator: true, prekeys: PrekeyUse::LastResort },
        Fact::Prekeys(Remaining { x25519: 99, ml_kem: 98 }),
        Fact::PrekeysExhausted,
        Fact::BreakerMoved(OPENED),
        Fact::Breakers([[1, 2, 3]; 6]),
        Fact::SessionHealed("decrypt"),
        Fact::SessionHealed("something new"),
        Fact::Unreadable(6),
        Fact::KeyChanged { blocked: true },
        Fact::KeysUnanswered { changed: 1, blocked: 1 },
        Fact::KeysSkipped(3),
        Fact::KeysEvicted(2),
        Fact::Retried,
        Fact::RetryHeld,
        Fact::SendKnown,
        Fact::Gap,
        Fact::Outbox { rows: 4, oldest_ms: Some(2_500) },
        Fact::BoundReached("inbox"),
        Fact::Bug("impossible"),
        Fact::Copies(CopiesSeen::default()),
        Fact::Step("queued", MessageId([0; 16])),
    ]
}
