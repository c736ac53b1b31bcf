//! The operator as a process of its own, in a folder of its own.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a condition is waited for at most.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub struct Operator {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Operator {
    pub fn new() -> Self {
        let operator = Self { folder: tempfile::tempdir().unwrap(), environment: vec![], child: None };
        fs::create_dir(operator.path("manifests")).unwrap();
        operator
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a manifest in one step.
    pub fn write(&self, name: &str, text: &str) {
        let aside = self.path("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, self.path("manifests").join(name)).unwrap();
    }

    /// Starts the process, with a clean environment and nobody where AWS would be.
    pub fn start(&mut self) {
        assert!(self.child.is_none());
        let log = OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dagstorm"));
        command.args(["operator", "--poll-interval", "200ms", "--manifests"]).arg(self.path("manifests"));
        command.arg("--data").arg(self.path("data")).env_clear();
        for (name, value) in [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/nonexistent"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
            ("HOME", "/nonexistent"),
        ] {
            command.env(name, value);
        }
        command.envs(self.environment.iter().cloned());
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// SIGKILL. It must have been alive until then.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the operator ended by itself ({status}):\n{}", self.log());
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Its end, which it finds by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.take().unwrap().wait().unwrap()
    }

    /// SIGTERM, and its end.
    pub async fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        until("the operator ends", || child.try_wait().unwrap()).await
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// `status` of a scenario's status file, if there is one.
    pub fn status(&self, scenario: &str) -> Option<Value> {
        let text = fs::read_to_string(self.path("data/status").join(format!("{scenario}.yaml"))).ok()?;
        let mut whole: Value = serde_saphyr::from_str(&text).unwrap();
        Some(whole["status"].take())
    }

    /// Waits for a scenario's verdict; returns its status.
    pub async fn verdict(&self, scenario: &str) -> Value {
        let is_final = |status: &Value| matches!(status["phase"].as_str(), Some("Passed" | "Failed" | "Unknown"));
        until("a verdict", || self.status(scenario).filter(is_final)).await
    }

    /// A condition of a scenario's status, once `is_meant` says so.
    pub async fn condition(&self, scenario: &str, kind: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
        until("a condition", || {
            let status = self.status(scenario)?;
            let conditions = status["conditions"].as_array()?;
            conditions.iter().find(|condition| condition["type"] == kind && is_meant(condition)).cloned()
        })
        .await
    }

    /// Every file that it wrote, and its log.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = vec![(self.path("log"), fs::read(self.path("log")).unwrap())];
        collect(&self.path("data"), &mut files);
        files
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if std::thread::panicking() {
            let kept = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()).keep();
            println!("the operator's folder is kept: {}", kept.display());
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), fs::read(path).unwrap()));
        }
    }
}

/// Waits until there is an answer.
pub async fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    until_async(what, async || answer()).await
}

/// Waits until there is an answer of somebody else's.
pub async fn until_async<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = answer().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A Target at this address.
pub fn target(url: &str, request_timeout: &str, settle: &str, more: &str) -> String {
    format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: {{ name: wire }}
spec:
  dagster: {{ url: '{url}', location: demo, requestTimeout: {request_timeout}, settle: {settle}{more} }}
"
    )
}

/// A Scenario with one phase of load.
pub fn scenario(name: &str, seed: u64, length: &str, arrivals: &str, jobs: &str) -> String {
    format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: {name} }}
spec:
  target: wire
  seed: {seed}
  load:
    - {{ name: base, for: {length}, arrivals: {{ {arrivals} }}, jobs: {{ {jobs} }} }}
  expect: {{ quiet: 2s }}
"
    )
}
