//! Which source wins, what is refused, and what the refusal says.

use std::path::Path;

use super::*;
use crate::error::NodeError;

#[test]
fn without_any_source_the_defaults_hold() {
    let config = load("", &[], &[]).unwrap();

    assert_eq!(config.metrics.listen, Some("127.0.0.1:9464".parse().unwrap()));
    assert!(config.network.mdns);
    assert!(config.network.bootstrap.is_empty());
    assert_eq!(config.log, Log { level: "info".to_owned(), format: LogFormat::Pretty });
    assert!(config.show().iter().all(|row| row.origin == Origin::Default));
    assert_eq!(config.show().len(), key::KEYS.len());
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_file() {
    let file = "[log]\nlevel = \"warn\"\n[metrics]\nlisten = \"off\"\n[network]\nmdns = false\n";
    let environment = [("BITCHAT_LOG__LEVEL", "debug"), ("BITCHAT_METRICS__LISTEN", "127.0.0.1:1")];
    let flags = [("log.level", "trace")];

    let config = load(file, &environment, &flags).unwrap();

    assert_eq!(config.log.level, "trace");
    assert_eq!(config.metrics.listen, Some("127.0.0.1:1".parse().unwrap()));
    assert!(!config.network.mdns);
    assert_eq!(origin(&config, "log.level"), Origin::Flag);
    assert_eq!(origin(&config, "metrics.listen"), Origin::Environment);
    assert_eq!(origin(&config, "network.mdns"), Origin::File);
    assert_eq!(origin(&config, "log.format"), Origin::Default);
}

#[test]
fn a_repeated_list_flag_adds_up_and_replaces_the_weaker_sources() {
    let flags =
        [("network.listen", "/ip4/1.2.3.4/tcp/1"), ("network.listen", "/ip4/1.2.3.4/tcp/2")];

    let config = load("[network]\nlisten = [\"/ip4/9.9.9.9/tcp/9\"]\n", &[], &flags).unwrap();

    assert_eq!(config.network.listen, ["/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2"]);
}

#[test]
fn a_list_in_the_environment_is_separated_by_commas() {
    let environment = [("BITCHAT_NETWORK__LISTEN", "/ip4/1.2.3.4/tcp/1, /ip4/1.2.3.4/tcp/2")];

    let config = load("", &environment, &[]).unwrap();

    assert_eq!(config.network.listen.len(), 2);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    let cases = [
        load("[network]\nlisen = []\n", &[], &[]),
        load("", &[("BITCHAT_NETWORK__LISEN", "x")], &[]),
        load("", &[], &[("network.lisen", "x")]),
    ];

    for case in cases {
        let error = NodeError::from(case.unwrap_err());
        assert_eq!(error.hint(), "did you mean network.listen?");
        assert_eq!(error.code(), "config");
    }
    assert!(matches!(load("[nonsense]\n", &[], &[]), Err(ConfigError::UnknownKey { .. })));
    assert!(matches!(load("listen = 1\n", &[], &[]), Err(ConfigError::UnknownKey { .. })));
}

#[test]
fn a_secret_is_refused_and_its_value_is_not_repeated() {
    let cases = [
        load("[keystore]\npassphrase = \"hunter2\"\n", &[], &[]),
        load("", &[("BITCHAT_PASSPHRASE", "hunter2")], &[]),
        load("", &[("BITCHAT_CONTROL__TOKEN", "hunter2")], &[]),
        load("", &[], &[("keystore.passphrase", "hunter2")]),
    ];

    for case in cases {
        let error = case.unwrap_err();
        assert!(matches!(error, ConfigError::Secret { .. }), "{error:?}");
        assert!(!format!("{error} {error:?} {}", error.hint()).contains("hunter2"));
    }
}

#[test]
fn a_syntax_error_names_the_line_and_not_its_text() {
    let error = load("[log]\nlevel = hunter2\n", &[], &[]).unwrap_err();

    assert!(matches!(error, ConfigError::Syntax { line: 2, .. }), "{error:?}");
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn variables_of_the_program_and_of_others_are_left_alone() {
    let environment = [
        ("BITCHAT_HOME", "/x"),
        ("BITCHAT_PASSPHRASE_FILE", "/run/x"),
        ("PATH", "/bin"),
        ("GITHUB_TOKEN", "x"),
    ];

    assert!(load("", &environment, &[]).is_ok());
}

#[test]
fn what_this_version_does_not_have_cannot_be_switched_on() {
    for key in key::ABSENT {
        assert_eq!(load("", &[], &[(key, "true")]).unwrap_err(), ConfigError::NotAvailable { key });
        assert!(load("", &[], &[(key, "false")]).is_ok());
    }
}

#[test]
fn metrics_stay_on_loopback() {
    assert_eq!(load("", &[], &[("metrics.listen", "off")]).unwrap().metrics.listen, None);
    assert!(load("", &[], &[("metrics.listen", "[::1]:0")]).is_ok());
    for refused in ["0.0.0.0:9464", "192.168.1.2:1", "127.0.0.1", "localhost:1", ""] {
        let error = load("", &[], &[("metrics.listen", refused)]).unwrap_err();
        assert!(matches!(error, ConfigError::BadValue { origin: Origin::Flag, .. }), "{refused}");
    }
}

#[test]
fn a_value_of_the_wrong_kind_or_range_is_refused() {
    for file in [
        "[network]\nmdns = \"yes\"\n",
        "[network]\nlisten = \"/ip4/1.2.3.4/tcp/1\"\n",
        "[network]\nlisten = [\"1.2.3.4:1\"]\n",
        "[network]\nbootstrap = [\"/ip4/1.2.3.4/tcp/1\"]\n",
        "[limits]\nconnections = 0\n",
        "[limits]\nconnections = -1\n",
        "[breaker]\nfailures = 0\n",
        "[breaker]\nprobes = 17\n",
        "[breaker]\nopen_seconds = 100_000\n",
        "[breaker]\nopen_seconds = 60\nopen_seconds_max = 59\n",
        "[log]\nformat = \"xml\"\n",
        "[log]\nlevel = \"a=b=c\"\n",
    ] {
        let error = load(file, &[], &[]).unwrap_err();
        assert!(matches!(error, ConfigError::BadValue { origin: Origin::File, .. }), "{file}");
    }
}

#[test]
fn the_thresholds_of_the_breakers_are_those_of_the_specification_or_of_the_file() {
    assert_eq!(load("", &[], &[]).unwrap().engine().breaker, Policy::default());

    let file = "[breaker]\nfailures = 2\nopen_seconds = 7\nopen_seconds_max = 8\nprobes = 1\n";
    let policy = load(file, &[], &[]).unwrap().engine().breaker;

    let (open_for, open_max) = (Duration::from_secs(7), Duration::from_secs(8));
    assert_eq!(policy, Policy { failures: 2, open_for, open_max, probes: 1 });
}

#[test]
fn what_holds_only_from_the_next_start_on_is_named() {
    let file = "[breaker]\nfailures = 2\n[log]\nlevel = \"debug\"\nformat = \"json\"\n\
        [network]\nmdns = false\n";
    let (old, new) = (load("", &[], &[]).unwrap(), load(file, &[], &[]).unwrap());

    assert_eq!(old.need_restart(&new), ["network.mdns", "log.format"]);
    let forced = load(file, &[], &[("network.mdns", "true"), ("log.format", "pretty")]).unwrap();
    assert_eq!(old.need_restart(&forced), Vec::<&str>::new());
}

#[test]
fn the_shipped_example_is_what_the_program_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/config.example.toml");
    let shipped = std::fs::read_to_string(&path).unwrap_or_default();

    assert!(shipped == Config::example(), "write `bitchat config example` to {}", path.display());
}

#[test]
fn the_example_with_its_comment_signs_removed_is_the_default_configuration() {
    let uncommented: String = Config::example()
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();

    let config = load(&uncommented, &[], &[]).unwrap();

    assert!(config.show().iter().all(|row| row.origin == Origin::File));
    let default = load("", &[], &[]).unwrap();
    assert_eq!(config.network, default.network);
    assert_eq!(config.limits, default.limits);
}

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Config::load(&Sources { file, environment: &environment, flags })
}

fn origin(config: &Config, key: &str) -> Origin {
    config.show().into_iter().find(|row| row.key == key).unwrap().origin
}
