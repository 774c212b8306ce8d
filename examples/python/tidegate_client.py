"""What a Python agent needs beyond the generated stubs: ids, errors, watches and sessions."""

import itertools
import secrets
import threading
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tidegate.v1 import reservation_pb2 as v1
from tidegate.v1 import session_pb2

DEADLINE = {"timeout": 5}  # of every call that is not a stream, in seconds


def request_id():
    """A UUIDv7: whoever does not hear the answer asks again with the same one."""
    ms = time.time_ns() // 10**6
    bits = ms << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=bits))


def now():
    """Seconds on a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def seconds(duration):
    return duration.ToTimedelta().total_seconds()


def explained(error):
    """The reason of an error, which is stable forever, and every field that is wrong."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)  # None if the broker was not reached.
    for detail in status.details if status else ():
        detail.Unpack(info)  # Does nothing with a detail of another type.
        detail.Unpack(bad)
    return info.reason, {it.field: it.description for it in bad.field_violations}


class Watch:
    """Follows reservations. Cut, it goes on behind the last message that was dealt with."""

    def __init__(self, reservations, **scope):
        self.reservations = reservations
        self.request = v1.WatchReservationsRequest(**scope)
        self.call = None

    def __iter__(self):
        code = grpc.StatusCode
        again = (code.UNAVAILABLE, code.RESOURCE_EXHAUSTED, code.CANCELLED)
        while True:
            self.call = self.reservations.WatchReservations(self.request)
            try:
                for told in self.call:
                    yield told
                    self.request.resume_token = told.resume_token
            except grpc.RpcError as error:
                if error.code() not in again:
                    raise
            time.sleep(0.2)


class Session:
    """Keeps reservations alive, and knows what may be sent under each of them right now."""

    def __init__(self, sessions, agent):
        self.sessions = sessions
        opened = sessions.OpenSession(
            session_pb2.OpenSessionRequest(request_id=request_id(), agent=agent), **DEADLINE
        )
        self.name, self.beat_every = opened.name, seconds(opened.beat_every)
        self.silence_max = seconds(opened.lease) + seconds(opened.grace)
        self.held = {}  # name -> Usage: bytes moved, and the plan that is obeyed
        self.terms = {}  # name -> (rate, first instant, first instant past it)
        self.obeyed = {}  # name -> the plan that the broker knows to be obeyed
        self.send_until, self.over, self.pokes = 0.0, False, 0
        self.news, self.due = threading.Condition(), threading.Event()
        threading.Thread(target=self._keep_alive, daemon=True).start()

    def hold(self, reservation):
        with self.news:
            self.held[reservation.name] = session_pb2.Usage(
                reservation=reservation.name, plan_version=reservation.plan_version
            )
            self.due.set()

    def rate(self, name):
        """Bits per second that may be sent now; ask again at least every few milliseconds."""
        with self.news:
            rate, start, end = self.terms.get(name, (0, 0, 0))
            return rate if start <= now() < min(end, self.send_until) and not self.over else 0

    def wait(self, until):
        with self.news:
            assert self.news.wait_for(until, timeout=20), "the session heard nothing of it"

    def close(self):
        """Stops sending first, then tells: what is bound to the session is free at once."""
        self.over = True
        self.due.set()
        close = session_pb2.CloseSessionRequest(request_id=request_id(), name=self.name)
        return self.sessions.CloseSession(close, **DEADLINE)

    def _keep_alive(self):
        while not self.over:
            sent, self.due = {}, threading.Event()
            try:
                for answer in self.sessions.KeepAlive(self._beats(sent, self.due)):
                    if answer.sequence == 0:  # A poke: something has changed, ask what.
                        self.pokes += 1
                        self.due.set()
                    else:
                        self._hear(answer, *sent.pop(answer.sequence))
            except grpc.RpcError as error:
                gone = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
                self.over = self.over or error.code() in gone
            time.sleep(0.2)

    def _beats(self, sent, due):
        for sequence in itertools.count(1):
            with self.news:
                beat = session_pb2.KeepAliveRequest(
                    session=self.name, sequence=sequence, usage=self.held.values()
                )
                sent[sequence] = now(), beat
            yield beat
            due.wait(self.beat_every)
            due.clear()
            if self.over:
                return

    def _hear(self, answer, sent, beat):
        with self.news:
            self.obeyed = {it.reservation: it.plan_version for it in beat.usage}
            self.over = self.over or answer.session.state != session_pb2.Session.STATE_OPEN
            # Counted from when the beat was sent, so that we stop before the broker says so.
            self.send_until = sent + self.silence_max
            for grant in answer.grants:
                # Start late, stop early: the broker's now lies between the sending and this.
                start, end = now() + seconds(grant.starts_in), sent + seconds(grant.ends_in)
                confirmed = grant.state == v1.Reservation.STATE_CONFIRMED
                self.terms[grant.reservation] = (grant.rate_bps if confirmed else 0, start, end)
                if self.held[grant.reservation].plan_version != grant.plan_version:
                    # From here on `rate` obeys the new plan: saying so frees what the old one held.
                    self.held[grant.reservation].plan_version = grant.plan_version
                    self.due.set()
            self.news.notify_all()
