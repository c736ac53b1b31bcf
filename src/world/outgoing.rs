//! A request that says when it goes out.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{Clock, SystemClock};
use crate::model::Timestamp;

/// When a connection took a request; clones share it.
#[derive(Debug, Clone, Default)]
pub struct SentAt(Arc<OnceLock<Timestamp>>);

impl SentAt {
    /// `None`: no connection took it.
    pub fn get(&self) -> Option<Timestamp> {
        self.0.get().copied()
    }
}

/// A body that notes when it is asked for.
///
/// The HTTP client asks for it when a connection is at hand (made, through with the handshake of TLS, and free) and the
/// request's head is encoded: the next thing that it does is to write both. Time that the request waits for a connection
/// comes before that instant.
pub struct Outgoing {
    bytes: Option<Bytes>,
    sent_at: SentAt,
}

impl Outgoing {
    pub fn new(bytes: Vec<u8>, sent_at: SentAt) -> Self {
        Self { bytes: Some(bytes.into()), sent_at }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.sent_at.0.get_or_init(|| SystemClock.now());
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    /// Exact, so that the request tells its length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
