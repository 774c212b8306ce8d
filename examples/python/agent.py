r"""A Tidegate client in Python, made from the protos alone.

With a broker that knows a source of 6 Gbit/s, as the README sets one up, and nothing booked on it:

    pip install -r examples/python/requirements.txt
    gen=$(mktemp -d)
    python3 -m grpc_tools.protoc -I proto --python_out $gen --grpc_python_out $gen \
        proto/tidegate/v1/*.proto
    PYTHONPATH=$gen python3 examples/python/agent.py \
        127.0.0.1:7411 storage/swift-east hosts/compute-1

What it prints is also asserted: `.ci/foreign-clients` runs it.
"""

import itertools
import sys

import grpc
from google.protobuf import duration_pb2
from tidegate.v1 import reservation_pb2 as v1
from tidegate.v1 import reservation_pb2_grpc, session_pb2, session_pb2_grpc

from tidegate_client import DEADLINE, Session, Watch, explained, request_id

GBIT = 10**9
TEN_MINUTES = duration_pb2.Duration(seconds=600)


def main(address, source, destination):
    # Pings notice a broker that is gone even where nobody is asked anything.
    channel = grpc.insecure_channel(address, [("grpc.keepalive_time_ms", 10_000)])
    reservations = reservation_pb2_grpc.ReservationServiceStub(channel)
    sessions = session_pb2_grpc.SessionServiceStub(channel)

    def ask(rate_bps, **more):
        return v1.CreateReservationRequest(
            request_id=request_id(),
            sources=[source],
            destination=destination,
            rigid=v1.Rigid(rate_bps=rate_bps, duration=TEN_MINUTES),
            **more,
        )

    def release(reservation, **more):
        request = v1.ReleaseReservationRequest(request_id=request_id(), name=reservation, **more)
        return reservations.ReleaseReservation(request, **DEADLINE)

    # Asked twice with one id, it is done once.
    request = ask(4 * GBIT)
    first = reservations.CreateReservation(request, **DEADLINE).reservation
    again = reservations.CreateReservation(request, **DEADLINE).reservation
    print("granted", first.name, first.rate_bps, [it.lane for it in first.bookings])
    assert first.name == again.name and first.state == v1.Reservation.STATE_CONFIRMED

    # "No" is an answer: why, and what would be granted instead.
    answer = reservations.CreateReservation(ask(4 * GBIT), **DEADLINE)
    assert answer.WhichOneof("outcome") == "refusal", answer
    refusal = answer.refusal
    print("refused", v1.Refusal.Reason.Name(refusal.reason))
    for it in refusal.blockers:
        print("  in the way:", it.lane, "lacks", it.missing_bps, "of", it.needed_bps)
    for it in refusal.offers:
        when = it.start_time.ToJsonString(), it.end_time.ToJsonString()
        print("  on offer:", v1.CounterOffer.Kind.Name(it.kind), it.rate_bps, *when)
    assert refusal.reason == v1.Refusal.REASON_NO_HEADROOM
    assert [it.lane for it in refusal.blockers] == [f"{source}/read"]

    # Its token asks for exactly what was offered.
    later = next(it for it in refusal.offers if it.kind == v1.CounterOffer.KIND_SAME_RATE_LATER)
    take = v1.CreateReservationRequest(request_id=request_id(), offer_token=later.token)
    taken = reservations.CreateReservation(take, **DEADLINE).reservation
    print("taken", taken.name, "from", taken.start_time.ToJsonString())
    assert (taken.rate_bps, taken.start_time) == (4 * GBIT, later.start_time)

    # A watch tells what stands, then every change.
    watch = Watch(reservations, filter=f"destination == '{destination}'")
    kinds, told = v1.WatchReservationsResponse, iter(watch)
    change = (it for it in told if it.kind != kinds.KIND_BOOKMARK)
    stand = list(itertools.takewhile(lambda it: it.kind != kinds.KIND_SYNCED, change))
    assert [it.kind for it in stand] == [kinds.KIND_RESET, kinds.KIND_STANDS, kinds.KIND_STANDS]
    assert {it.reservation.name for it in stand[1:]} == {first.name, taken.name}

    # A change by etag: whoever has not seen the last one changes nothing.
    def update(name, etag, rate_bps):
        wanted = v1.Reservation(name=name, etag=etag, rate_bps=rate_bps)
        request = v1.UpdateReservationRequest(request_id=request_id(), reservation=wanted)
        request.update_mask.paths.append("rate_bps")
        return reservations.UpdateReservation(request, **DEADLINE)

    updated = update(first.name, first.etag, 3 * GBIT).reservation
    seen = next(change).reservation
    print("updated", updated.rate_bps, "and the watch saw", seen.rate_bps)
    assert updated.rate_bps == seen.rate_bps == 3 * GBIT and updated.etag == seen.etag != first.etag
    try:
        raise AssertionError(update(first.name, first.etag, 2 * GBIT))
    except grpc.RpcError as error:
        print("stale", error.code().name, explained(error))
        assert error.code() == grpc.StatusCode.ABORTED and explained(error)[0] == "ETAG_STALE"

    # Cut, the watch goes on where it was: the change meanwhile, and nothing twice.
    watch.call.cancel()
    assert release(taken.name).close_reason == v1.CLOSE_REASON_RELEASED
    seen = next(change)
    print("resumed", kinds.Kind.Name(seen.kind), seen.reservation.name)
    assert (seen.kind, seen.reservation.name) == (kinds.KIND_CHANGED, taken.name)
    release(first.name, etag=updated.etag)

    # What is malformed is told field by field.
    try:
        raise AssertionError(reservations.CreateReservation(ask(-1, via=["nowhere"]), **DEADLINE))
    except grpc.RpcError as error:
        print("invalid", explained(error))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert sorted(explained(error)[1]) == ["rigid.rate_bps", "via[0]"]

    # Bound to a session, it lives as long as its beats, and hears at once when others change it.
    session = Session(sessions, "python-agent")
    bound = reservations.CreateReservation(ask(4 * GBIT, session=session.name), **DEADLINE)
    bound, pokes = bound.reservation, session.pokes
    session.hold(bound)
    session.wait(lambda: session.rate(bound.name) == 4 * GBIT)
    update(bound.name, bound.etag, GBIT)
    session.wait(lambda: session.rate(bound.name) == GBIT and pokes < session.pokes)
    print("poked, the session may send", session.rate(bound.name))

    # Once it has said that it obeys, what it gave up is free for others.
    def fits(rate_bps):
        answer = reservations.CreateReservation(ask(rate_bps, validate_only=True), **DEADLINE)
        return answer.WhichOneof("outcome") == "reservation"

    session.wait(lambda: bound.plan_version < session.obeyed[bound.name])
    assert fits(5 * GBIT) and not fits(6 * GBIT)
    closed = session.close()
    print("closed", session_pb2.Session.State.Name(closed.state))
    assert closed.state == session_pb2.Session.STATE_CLOSED and session.rate(bound.name) == 0
    assert fits(6 * GBIT)


if __name__ == "__main__":
    main(*sys.argv[1:])
