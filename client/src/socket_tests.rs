//! What is asked of sockets, and what the kernel makes of it on the loopback.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::limiter::Revoked;

fn flow(rate: &str, round_trip_ms: u64) -> Flow {
    let rate = rate.parse().unwrap();
    let round_trip = Duration::from_millis(round_trip_ms);
    Flow { rate, burst: Burst::default().at(rate), round_trip }
}

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

#[test]
fn the_receive_buffer_follows_the_rate() {
    let rmem_max = Some(212_992);
    let table = [
        ("1Mbit", 20, Some(BUFFER_MIN)),
        ("10Mbit", 20, Some(28_125)),
        ("80Mbit", 20, Some(212_992)),
        ("1Gbit", 20, None),
        ("1Gbit", 1, Some(212_992)),
    ];
    for (rate, round_trip, expected) in table {
        let flow = flow(rate, round_trip);
        assert_eq!(flow.receive_buffer_under(rmem_max), expected, "{rate}");
    }
    assert_eq!(flow("1Mbit", 20).receive_buffer_under(None), None, "an unknown limit");
}

#[test]
fn a_flow_is_a_part_of_its_limiter() {
    let limiter = Limiter::new("80Mbit".parse().unwrap(), Burst::default());
    let whole = Flow::of(&limiter, Duration::from_millis(20));
    assert_eq!(whole, flow("80Mbit", 20));
    assert_eq!(whole.one_of(8), flow("10Mbit", 20));
    assert_eq!(whole.one_of(0), whole);
    assert_eq!(whole.one_of(8).window(), 28_125);
    assert_eq!(flow("1Tbit", 60_000).window(), (1 << 31) - 1);
}

#[test]
fn a_download_holds_what_it_was_capped_to() {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::empty(),
        None,
    )
    .unwrap();
    let flow = flow("10Mbit", 20);
    let wanted = flow.receive_buffer().expect("a machine with less than 25 kB of rmem_max");
    assert_eq!(flow.cap_receive(&socket).unwrap(), Some(wanted));
    assert_eq!(getsockopt(&socket, sockopt::RcvBuf).unwrap(), wanted * 2);
    // Where a round trip carries more than the system allows, it is not touched.
    let free = getsockopt(&socket, sockopt::RcvBuf).unwrap();
    let large = Flow { rate: BitRate::MAX, round_trip: Duration::from_secs(60), ..flow };
    assert_eq!(large.cap_receive(&socket).unwrap(), None);
    assert_eq!(getsockopt(&socket, sockopt::RcvBuf).unwrap(), free);
}

/// What the cap is for: a peer that is not read from takes no more than was allowed.
#[test]
fn a_capped_peer_takes_little_ahead() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let capped = flow("1Mbit", 1);
    // What a listener has is inherited by what it accepts, before it is connected.
    let holds = capped.cap_receive(&listener).unwrap().expect("a machine that can cap");
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (_far, _) = listener.accept().unwrap();
    setsockopt(&near, sockopt::SndBuf, &4096).unwrap();
    near.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut blocked = 0;
    // It is full when nothing went for 20 ms in a row.
    while blocked < 20 {
        match near.write(&[7; 4096]) {
            Ok(bytes) => (sent, blocked) = (sent + bytes, 0),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                blocked += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    // The send buffer holds some as well.
    assert!((4096..=2 * holds + 2 * 65_536).contains(&sent), "{sent} for {holds}");
}

#[test]
fn an_upload_is_paced_and_keeps_little_unsent() {
    let (near, _far) = connected();
    for (rate, unsent) in [("10Mbit", 1448), ("1Gbit", 12_500), ("100Gbit", 262_144)] {
        let flow = flow(rate, 20);
        let paced = flow.pace(&near).unwrap();
        match Width::of_kernel() {
            Width::Long => {
                assert_eq!(paced.unwrap().bps(), flow.rate.bps() / 8 * 9, "{rate}");
                let bytes = getsockopt(&near, PacingLong).unwrap();
                assert_eq!(bytes, flow.rate.bps() / 8 * 9 / 8, "{rate}");
            }
            Width::Short if rate == "100Gbit" => assert_eq!(paced, None),
            Width::Short => assert!(paced.is_some(), "{rate}"),
        }
        assert_eq!(flow.limit_unsent(&near).unwrap().bytes(), unsent, "{rate}");
        assert_eq!(u64::from(getsockopt(&near, UnsentMax).unwrap()), unsent);
    }
    let before = getsockopt(&near, PacingShort).unwrap();
    let none = Flow { rate: BitRate::ZERO, ..flow("1Gbit", 20) };
    assert_eq!(none.pace(&near).unwrap(), None, "a pause is no rate");
    assert_eq!(getsockopt(&near, PacingShort).unwrap(), before);
}

#[test]
fn what_knows_no_pacing_is_left_alone() {
    let (reader, _writer) = io::pipe().unwrap();
    let error = flow("1Gbit", 20).pace(&reader).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTSOCK));
}

#[test]
fn old_kernels_take_short_rates() {
    let table = [
        ("6.18.44-fc-v857\n", Width::Long),
        ("5.1.0", Width::Long),
        ("5.0.21-rc3", Width::Short),
        ("4.19.0", Width::Short),
        ("10.0", Width::Long),
        ("", Width::Short),
    ];
    for (release, expected) in table {
        assert_eq!(Width::of(release), expected, "{release}");
    }
}

/// A value that the kernel changes is not kept: here the size of a receive buffer, which it doubles.
#[test]
fn what_the_kernel_changes_is_taken_back() {
    let (near, _far) = connected();
    let got = set_and_read(&near, (sockopt::RcvBuf, 20_000), 50_000).unwrap();
    assert_eq!(got, Some(40_000));
    assert_eq!(getsockopt(&near, sockopt::RcvBuf).unwrap(), 100_000);
}

#[test]
fn a_flow_of_a_revoked_limiter_still_says_its_rate() {
    let limiter = Limiter::new("80Mbit".parse().unwrap(), Burst::default());
    limiter.revoke(Revoked::Released);
    assert_eq!(Flow::of(&limiter, Duration::from_millis(20)), flow("80Mbit", 20));
}
