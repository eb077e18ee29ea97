//! The foreign device: a process that answers JSON lines.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Map, Value};

use crate::known::hex;

pub(crate) struct Peer {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the peer answers: fields by name, or why it refuses.
pub(crate) type Answer = Result<Map<String, Value>, String>;

impl Peer {
    pub(crate) fn start(python: &Path, script: &Path) -> Self {
        let mut process = Command::new(python)
            .arg("-B")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let requests = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, requests, answers }
    }

    pub(crate) fn ask(&mut self, operation: &str, fields: &[(&str, &[u8])]) -> Answer {
        let answer = self.exchange(operation, fields);
        match answer.get("refused") {
            Some(why) => Err(why.to_string()),
            None => Ok(answer),
        }
    }

    fn exchange(&mut self, operation: &str, fields: &[(&str, &[u8])]) -> Map<String, Value> {
        let mut request = Map::new();
        request.insert("op".to_owned(), operation.into());
        for (name, bytes) in fields {
            request.insert((*name).to_owned(), hex(bytes).into());
        }
        writeln!(self.requests, "{}", Value::Object(request)).expect("the peer reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the peer answers");
        serde_json::from_str(&line).expect("the peer has ended, see its standard error")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A byte string of an answer.
pub(crate) fn bytes(answer: &Map<String, Value>, name: &str) -> Vec<u8> {
    let text = answer[name].as_str().expect("a string");
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}
