//! Whether a connection over the loopback comes from this process, as the kernel's tables tell it.

use std::fs;
use std::io;
use std::net::SocketAddrV4;

/// `peer` is who has connected to `listener`. Jobs run on this machine too, so an address alone proves nothing.
///
/// # Errors
/// When the tables in `/proc` cannot be read. It reads all of them: not for often.
pub fn is_from_this_process(peer: SocketAddrV4, listener: SocketAddrV4) -> io::Result<bool> {
    let Some(inode) = inode(&fs::read_to_string("/proc/self/net/tcp")?, peer, listener) else { return Ok(false) };
    let socket = format!("socket:[{inode}]");
    // A descriptor may be closed in between.
    let ours = |entry: io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    Ok(fs::read_dir("/proc/self/fd")?.filter_map(ours).any(|link| link.as_os_str() == socket.as_str()))
}

/// Of the socket whose own end is `local`.
fn inode(table: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u64> {
    let (local, remote) = (hex(local), hex(remote));
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let ends = (fields.nth(1)?, fields.next()?);
        // After the ends: state, queues, timer, retransmissions, user, timeout.
        let inode = fields.nth(6)?.parse().ok()?;
        (ends == (local.as_str(), remote.as_str()) && inode > 0).then_some(inode)
    })
}

/// As the table has it: the address as the machine's number, the port as a number.
fn hex(address: SocketAddrV4) -> String {
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::process::{Command, Stdio};

    use super::*;

    fn v4(address: std::net::SocketAddr) -> SocketAddrV4 {
        let std::net::SocketAddr::V4(address) = address else { panic!("{address}") };
        address
    }

    #[test]
    fn the_connection_of_another_process_is_told_from_an_own_one() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = v4(listener.local_addr().unwrap());
        let own = TcpStream::connect(address).unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        assert!(is_from_this_process(v4(peer), address).unwrap());
        drop(own);
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{} && read -r _", address.port());
        let mut other = Command::new("bash").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        assert!(!is_from_this_process(v4(peer), address).unwrap());
        drop(other.stdin.take());
        other.wait().unwrap();
    }
}
