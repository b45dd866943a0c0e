//! Passes bytes on between a client inside and a server outside, without reading them.

use super::budget::Meter;
use std::cell::RefCell;
use std::io;
use tokio::net::TcpStream;

/// Bytes that are read at once. All connections share one buffer, so that one that is idle holds none.
const CHUNK: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Passes one direction on until its sender has ended it; then the receiver sees the end and may still answer.
///
/// # Errors
/// When either end breaks.
pub async fn pass(from: &TcpStream, to: &TcpStream, meter: &Meter) -> io::Result<()> {
    loop {
        from.readable().await?;
        let most = meter.allowance().await.min(CHUNK);
        let step = BUFFER.with_borrow_mut(|buffer| -> io::Result<Option<Vec<u8>>> {
            let length = match from.try_read(&mut buffer[..most]) {
                Ok(0) => return Ok(None),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Vec::new())),
                Err(error) => return Err(error),
            };
            let mut rest = &buffer[..length];
            meter.passed(length);
            match to.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            Ok(Some(rest.to_vec()))
        })?;
        let Some(rest) = step else {
            rustix::net::shutdown(to, rustix::net::Shutdown::Write)?;
            return Ok(());
        };
        write_all(to, &rest).await?;
    }
}

/// Passes on what was read already.
///
/// # Errors
/// When the other end is gone.
pub async fn send(to: &TcpStream, mut rest: &[u8], meter: &Meter) -> io::Result<()> {
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(meter.allowance().await.min(rest.len()));
        meter.passed(piece.len());
        write_all(to, piece).await?;
        rest = more;
    }
    Ok(())
}

/// Writes all of it.
///
/// # Errors
/// When the other end is gone.
pub async fn write_all(to: &TcpStream, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        to.writable().await?;
        match to.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Lets a connection end by a reset when it is dropped: the client must not take it for a whole one.
pub fn reset(stream: &TcpStream) {
    // A connection that is gone already needs no end.
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO));
}
