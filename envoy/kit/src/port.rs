//! Ports of loopback for servers that must know theirs before they start, and keep it over a restart.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

/// A port that nobody listens on now, another one each time.
///
/// It lies below the ports that systems give to outgoing connections (from 32768 on Linux, 49152 on macOS). One of those
/// could be taken while its server is down, even by the very client that tries to reach it: such a client is connected
/// to itself.
///
/// # Errors
/// When all are taken.
pub fn free() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Each process begins elsewhere, so that two of them seldom meet between the look and the use.
    let _ = NEXT.compare_exchange(0, begin(), Ordering::Relaxed, Ordering::Relaxed);
    for _ in 0..COUNT {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST} to {} is free", FIRST + COUNT - 1)
}

fn begin() -> u16 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    // Below COUNT, and the remainder fits; never 0, which says that nobody has begun.
    u16::try_from(((nanos / 1000) ^ std::process::id().wrapping_mul(7919)) % u32::from(COUNT))
        .unwrap_or_default()
        .max(1)
}

const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is another, can be bound, and lies where no outgoing connection takes it.
    #[test]
    fn each_free_port_is_another() {
        let mut ports: Vec<u16> = (0..50).map(|_| free().unwrap()).collect();
        assert!(ports.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)), "{ports:?}");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
    }

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let taken = free().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).unwrap();
        for _ in 0..COUNT {
            assert_ne!(free().unwrap(), taken);
        }
        drop(listener);
    }
}
