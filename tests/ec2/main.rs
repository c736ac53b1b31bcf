//! EC2 on the wire: what our client sends and how it reads what AWS answers.
//!
//! `deploy/local/tests/test_ec2_requests.py` holds the same requests, answers and endpoints against botocore.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail loudly")]

mod requests;
mod server;
mod wire;
