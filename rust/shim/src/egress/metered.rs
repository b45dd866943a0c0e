//! A stream whose bytes are counted, and slowed by the limits that they are charged to.

use super::budget::{Meter, Share};
use replicante_core::limits::Direction;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream to a server: what is written goes up, what is read comes down.
pub struct Metered<S> {
    stream: S,
    up: Pace,
    down: Pace,
    /// Given back when the stream is dropped.
    _share: Share,
}

impl<S> Metered<S> {
    pub fn new(stream: S, share: Share) -> Self {
        Self {
            stream,
            up: Pace::new(share.meter(Direction::Upload)),
            down: Pace::new(share.meter(Direction::Download)),
            _share: share,
        }
    }
}

/// One direction.
struct Pace {
    meter: Meter,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Pace {
    fn new(meter: Meter) -> Self {
        Self { meter, waiting: None }
    }

    /// How many bytes may pass in this very poll.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(context));
                self.waiting = None;
            }
            match self.meter.passing() {
                Ok(bytes) => return Poll::Ready(bytes),
                Err(spent) => {
                    let meter = self.meter.clone();
                    self.waiting = Some(Box::pin(async move { meter.turn(spent).await }));
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.down.meter.bounds() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let most = ready!(self.down.poll(context)).min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let length = part.filled().len();
        buffer.advance(length);
        self.down.meter.passed(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = ready!(self.up.poll(context)).min(bytes.len());
        let length = ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..most]))?;
        self.up.meter.passed(length);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.up.meter.bounds() {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(context, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
