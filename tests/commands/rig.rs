//! Runs the binary in a folder of its own.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub const HEAD: &str = "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\n";

/// A Target without AWS, at this address.
pub fn target(url: &str) -> String {
    format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: {{ name: local }}
spec:
  dagster: {{ url: '{url}', location: demo, requestTimeout: 2s, settle: 5s }}
"
    )
}

pub fn scenario(name: &str, more: &str) -> String {
    format!(
        "{HEAD}metadata: {{ name: {name} }}
spec:
  target: local
  load:
    - {{ name: base, for: 10s, arrivals: {{ constant: {{ rate: 1/s }} }}, jobs: {{ fast_job: 1 }} }}
{more}"
    )
}

pub struct Rig {
    pub folder: tempfile::TempDir,
}

pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Rig {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The binary with a clean environment: no credentials, and nobody where AWS would be.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dagstorm"));
        command.current_dir(&self.folder).args(arguments).env_clear();
        for (name, value) in [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/nonexistent"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
            ("HOME", "/nonexistent"),
        ] {
            command.env(name, value);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(arguments, "")
    }

    pub fn run_with(&self, arguments: &[&str], stdin: &str) -> Done {
        finish(self.command(arguments), stdin)
    }
}

pub fn finish(mut command: Command, stdin: &str) -> Done {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whoever does not read it may be gone already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The repository's own files.
pub fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
