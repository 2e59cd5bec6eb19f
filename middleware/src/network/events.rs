//! The system's word that something about its network has changed, and not what.

use std::io;

#[cfg(target_os = "linux")]
pub(super) use netlink::Events;

#[cfg(target_os = "linux")]
mod netlink {
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
    use tokio::io::unix::AsyncFd;

    use super::io;

    /// Links, addresses and routes; nobody needs a right to hear of them.
    const GROUPS: i32 = libc::RTMGRP_LINK
        | libc::RTMGRP_IPV4_IFADDR
        | libc::RTMGRP_IPV6_IFADDR
        | libc::RTMGRP_IPV4_ROUTE
        | libc::RTMGRP_IPV6_ROUTE;

    /// A route socket.
    pub(in super::super) struct Events(AsyncFd<OwnedFd>);

    impl Events {
        /// Listens from now on.
        pub(in super::super) fn listen() -> io::Result<Self> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let family = AddressFamily::NETLINK;
            // No protocol is NETLINK_ROUTE.
            let socket = socket_with(family, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, GROUPS.cast_unsigned()))?;
            #[allow(
                deprecated,
                reason = "an OwnedFd is what it says, and needs no unsafe promise"
            )]
            let socket = AsyncFd::new(socket)?;
            Ok(Self(socket))
        }

        /// Waits for an event, and swallows all there are.
        pub(in super::super) async fn next(&self) -> io::Result<()> {
            let mut ready = self.0.readable().await?;
            let mut message = [0; 4 << 10];
            loop {
                match recv(self.0.get_ref(), &mut message[..], RecvFlags::empty()) {
                    // More came than it can hold: that says enough.
                    Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
                    Err(Errno::WOULDBLOCK) => {
                        ready.clear_ready();
                        return Ok(());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

/// There are none on this system.
#[cfg(not(target_os = "linux"))]
pub(super) struct Events;

#[cfg(not(target_os = "linux"))]
impl Events {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&self) -> io::Result<()> {
        std::future::pending().await
    }
}
