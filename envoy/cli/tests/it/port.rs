//! Ports of loopback.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// An address where nobody answers for as long as the socket lives: bound, so that nobody else gets the port, but not
/// listening. A receiver that is told of it may bind it as well and listen.
pub fn unanswered() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
