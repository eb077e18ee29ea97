//! Mailboxes over real daemons: who keeps what, and what is left after a kill.

use serde_json::Value;

use crate::harness::{Daemon, Profile, Stage, TCP, eventually};

/// The address of a daemon to rent at.
fn address(profile: &Profile, daemon: &Daemon) -> String {
    let device = profile.json(&["id"])[0]["device"].as_str().expect("a peer id").to_owned();
    format!("{}/p2p/{device}", daemon.addresses[0])
}

fn only_mailbox(profile: &Profile) -> Value {
    let mut listed = profile.json(&["mailbox", "list"]);
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed.remove(0)
}

#[test]
fn a_node_without_mailboxes_says_so_and_whoever_asks_is_told() {
    let stage = Stage::new();
    let (owner, node) = (stage.profile("owner"), stage.profile("node"));
    let (_at_owner, at_node) = (owner.daemon(TCP), node.daemon(TCP));
    let address = address(&node, &at_node);

    let added = owner.run(&["mailbox", "add", &address]);

    assert_eq!(added.code, 0, "{added:?}");
    eventually("the node refuses", || only_mailbox(&owner)["state"] == "refused");
    assert_eq!(only_mailbox(&owner)["refusal"], "no_mailboxes");
    let (id, part) = (address.rsplit('/').next().unwrap(), &address[address.len() - 8..]);
    let tested = &owner.json(&["mailbox", "test", part])[0];
    assert_eq!((&tested["node"], &tested["state"]), (&Value::from(id), &Value::from("refused")));
    assert_eq!(node.json(&["mailbox", "serve-status"])[0]["enabled"], false);
    assert_eq!(owner.run(&["mailbox", "remove", part]).code, 0);
    assert!(owner.json(&["mailbox", "list"]).is_empty());
    assert_eq!(owner.run(&["mailbox", "remove", id]).code, 8);
    assert_eq!(owner.run(&["mailbox", "add", "/ip4/127.0.0.1/tcp/1"]).code, 1);
}
