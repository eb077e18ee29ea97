//! Ports that stay: a listener on port 0 gets the port it had last time, if that is free.
//!
//! Invitations and records carry our addresses; a port that changed at each start would make them
//! stale although the node never moved.

use std::path::Path;

/// The ports of the last run, by transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    tcp: Option<u16>,
    udp: Option<u16>,
}

impl Ports {
    /// Those in the file; none if there is no file or it says something else.
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Self { tcp: port_of(&text, "tcp"), udp: port_of(&text, "udp") }
    }

    /// Those that these addresses show.
    pub(super) fn of(addresses: &[String]) -> Self {
        let find = |transport| addresses.iter().find_map(|address| port_of(address, transport));
        Self { tcp: find("tcp"), udp: find("udp") }
    }

    /// These, or where there is none, those of an earlier run.
    pub(super) fn or(self, earlier: Self) -> Self {
        Self { tcp: self.tcp.or(earlier.tcp), udp: self.udp.or(earlier.udp) }
    }

    /// Remembers them. Without the file the next start just gets other ports, so a failure is no error.
    pub(super) fn write(self, path: &Path) {
        let part = |transport: &str, port: Option<u16>| {
            port.map(|port| format!("/{transport}/{port}")).unwrap_or_default()
        };
        let text = format!("{}{}\n", part("tcp", self.tcp), part("udp", self.udp));
        if let Err(error) = std::fs::write(path, text) {
            tracing::debug!(%error, "the ports are not remembered");
        }
    }

    /// Addresses with port 0 filled in.
    pub(super) fn fill(self, addresses: &[String]) -> Vec<String> {
        let fill = |address: &String, transport: &str, port: Option<u16>| {
            let (zero, chosen) =
                (format!("/{transport}/0"), port.map(|port| format!("/{transport}/{port}")));
            match chosen {
                Some(chosen) if port_of(address, transport) == Some(0) => {
                    address.replacen(&zero, &chosen, 1)
                }
                Some(_) | None => address.clone(),
            }
        };
        addresses
            .iter()
            .map(|address| fill(&fill(address, "tcp", self.tcp), "udp", self.udp))
            .collect()
    }
}

/// The number behind `/tcp/` or `/udp/`.
fn port_of(address: &str, transport: &str) -> Option<u16> {
    let mut parts = address.trim().split('/');
    parts.find(|part| *part == transport)?;
    parts.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_free_choice_is_filled_and_a_fixed_port_stays() {
        let bound = strings(&["/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/udp/4002/quic-v1"]);
        let ports = Ports::of(&bound);

        let filled = ports.fill(&strings(&[
            "/ip4/0.0.0.0/tcp/0",
            "/ip4/0.0.0.0/udp/0/quic-v1",
            "/ip4/0.0.0.0/tcp/80",
        ]));

        assert_eq!(
            filled,
            ["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4002/quic-v1", "/ip4/0.0.0.0/tcp/80"]
        );
    }

    #[test]
    fn ports_survive_the_file_and_nonsense_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ports");
        let ports = Ports { tcp: Some(1), udp: None };

        ports.write(&path);

        assert_eq!(Ports::read(&path), ports);
        std::fs::write(&path, "nonsense").expect("written");
        assert_eq!(Ports::read(&path), Ports::default());
    }
}
