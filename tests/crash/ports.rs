//! Ports that a server can be started at again and again, and that nobody else gets meanwhile.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};

/// Bound, but not listening: another socket may listen at the port, if both say that the address may be used again.
pub struct Port {
    pub address: SocketAddr,
    _reserved: OwnedFd,
}

impl Port {
    pub fn reserve() -> Self {
        let reserved = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_reuseaddr(&reserved, true).unwrap();
        bind(&reserved, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = getsockname(&reserved).unwrap().try_into().unwrap();
        Self { address, _reserved: reserved }
    }
}
