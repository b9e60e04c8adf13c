"""The fleet at work: who is there, one step a machine in flight, facts written before their future is let go.

What goes wrong is seen here: a worker that is gone, a scheduler that is gone (this waits for it, and begins anew with what
is written), an answer that does not come.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from attnbench.core.errors import InputError
from attnbench.fleet import worker
from attnbench.fleet.admission import unlike_code
from attnbench.fleet.answers import checked, error_text, resolved, step_text
from attnbench.fleet.channel import Channel
from attnbench.fleet.files import Files
from attnbench.fleet.parcel import Parcel
from attnbench.fleet.pool import BUILT_AT_A_TIME
from attnbench.fleet.trust import MOST_BYTES, check_listening, plain_data_only
from attnbench.measure.observer import Observer
from attnbench.measure.schedule import TimingStep

WAIT_SECONDS = 300.0
"""So long a fleet waits for a scheduler, or for a machine, before it gives up."""

POLL_SECONDS, SHOWN_SECONDS, ARRIVAL_SECONDS = 0.5, 1.0, 0.05
SLACK_SECONDS = 120.0
STEPS_PARTS = 4
"""What one step does at most that has a timeout of its own: two graphs written, two timed."""

Message = dict[str, Any]


@dataclass
class Seat:
    """A worker by its address: which machine it is, and what it was asked last. One that is ``out`` is asked nothing."""

    address: str
    place: str = ""
    name: str = ""
    run: str = ""
    asked: Any = None
    answered: "Callable[[Seat, Message], None] | None" = None
    deadline: float = float("inf")
    out: bool = False


class Engine:
    """One fleet on one cluster."""

    def __init__(self, channel: Channel, files: Files, parcel: Parcel, observer: Observer, seconds: float) -> None:
        self.channel = channel
        self.files = files
        self.fleet = files.fleet
        self.parcel = parcel
        self.observer = observer
        self.ends = time.monotonic() + seconds
        self.seats: dict[str, Seat] = {}
        self.refused: dict[str, str] = {}
        self.states: Mapping[str, Mapping[str, Any]] = {}
        self.alone_since = time.monotonic()
        self._looked = self._shown = 0.0
        self._counts: dict[str, tuple[int, int]] = {}
        self._uncounted: list[str] = []

    def run(self) -> None:
        """Hand out steps until none is left, nobody is left for long, or the time is spent."""
        self.files.load(time.monotonic())
        with plain_data_only():
            try:
                while not self._over():
                    try:
                        self._turn()
                    except InputError:
                        raise
                    except (OSError, TimeoutError, RuntimeError) as error:
                        self._scheduler_lost(error)
                self._say_goodbye()
            finally:
                self.channel.close()

    def _over(self) -> bool:
        if any(seat.name and seat.asked for seat in self.seats.values()):
            self.alone_since = time.monotonic()
            return False
        spent = time.monotonic() > self.ends or time.monotonic() - self.alone_since > WAIT_SECONDS
        return spent or self.fleet.finished

    def _turn(self) -> None:
        if self.channel.client is None:
            time.sleep(POLL_SECONDS)
            with suppress(InputError):
                self.channel.connect()
            return
        now = time.monotonic()
        if now - self._looked > max(POLL_SECONDS, len(self.seats) / 200):
            self._look()
            self._looked = time.monotonic()
            self.fleet.tick(self._looked)
        self._hand_out(self.seats.values())
        for address, asked, found in self.channel.arrived(0.0 if self._uncounted else ARRIVAL_SECONDS):
            seat = self.seats.get(address)
            if seat is not None and seat.asked is asked:
                seat.asked = None
                self._handle(seat, found)
                self._hand_out([seat])  # first: Dask's client holds back for 10 ms what comes after another message
            self.channel.forget(asked)
        if self._uncounted:  # one a turn: to count all would keep machines waiting that have answered
            name = self._uncounted.pop()
            self._counts[name] = self.fleet.counted(self.fleet.members[name])
        elif time.monotonic() - self._shown > SHOWN_SECONDS:
            self._shown = time.monotonic()
            self._show()
            self._uncounted = list(self.fleet.members)

    def _hand_out(self, seats: Iterable[Seat]) -> None:
        """Ask machines that wait for it for their next step, as long as there is time."""
        for seat in seats if time.monotonic() < self.ends else ():
            if seat.name and not seat.out and not seat.asked and (step := self.fleet.next(seat.name)):
                self._ask_step(seat, step)

    def _look(self) -> None:
        """See which workers came, which are gone and which do not answer."""
        self.states = self.channel.workers()
        for address in [address for address in self.seats if address not in self.states]:
            self._leave(self.seats[address], "is gone")
        for address in [address for address in self.states if address not in self.seats]:
            seat = self.seats[address] = Seat(address)
            try:
                check_listening(address)
            except InputError as error:
                self._refuse(seat, str(error).replace("scheduler", "worker"))
                continue
            self._greet(seat)
        for seat in list(self.seats.values()):
            if seat.asked and time.monotonic() > seat.deadline and self.states[seat.address].get("state") != "waiting":
                self._mute(seat)
        if self.seats and all(seat.out for seat in self.seats.values()) and not self.fleet.members:
            why = "; ".join(f"{name}: {why}" for name, why in self.refused.items())
            raise InputError(f"no machine of {self.channel.address} can measure this: {why or 'none answers'}")

    def _leave(self, seat: Seat, why: str) -> None:
        del self.seats[seat.address]
        self.channel.forget(seat.asked)
        if seat.name in self.fleet.members and not seat.out:
            self.fleet.lost(seat.name, time.monotonic())
            self.observer.note(f"{seat.name} {why}")
        spare = next((s for s in self.seats.values() if s.out and s.place and s.place == seat.place and not s.name), None)
        if spare is not None:  # one on the same machine takes its place
            spare.out = False
            self._greet(spare)

    def _mute(self, seat: Seat) -> None:
        """A worker that does not answer is a lost one, as long as it has its address."""
        self._leave(seat, "does not answer")
        self.seats[seat.address] = Seat(seat.address, out=True)

    def _refuse(self, seat: Seat, why: str) -> None:
        name = seat.name or seat.address
        self.fleet.leave(seat.name)
        seat.out = True
        if self.refused.get(name) != why:
            self.refused[name] = why
            self.observer.note(f"{name} is not taken: {why}")

    def _scheduler_lost(self, error: Exception) -> None:
        self.observer.note(f"the scheduler at {self.channel.address} is gone ({type(error).__name__}): waiting for it")
        for seat in self.seats.values():
            if seat.name in self.fleet.members:
                self.fleet.lost(seat.name, time.monotonic(), blame=False)
        self.seats.clear()
        self.channel.drop()

    # what is asked, and what an answer means

    def _greet(self, seat: Seat) -> None:
        seat.answered, seat.deadline = self._greeted, time.monotonic() + SLACK_SECONDS
        seat.asked = self.channel.greet(seat.address)

    def _ask(self, seat: Seat, answered: Callable[[Seat, Message], None], limit: float, function: Any, *values: Any) -> None:
        seat.answered, seat.deadline = answered, time.monotonic() + limit
        seat.asked = self.channel.ask(seat.address, function, *values)

    def _handle(self, seat: Seat, found: Any) -> None:
        """Take one answer; a worker that gives none is gone, and one whose answer is none is refused."""
        if not self.channel.running:
            raise OSError("the connection ended")
        if isinstance(found, TimeoutError | CancelledError | OSError):
            self._mute(seat)
        elif not isinstance(found, bytes):
            self._refuse(seat, error_text(found))
        elif len(found) > MOST_BYTES:
            self._refuse(seat, f"an answer of {len(found)} bytes, more than {MOST_BYTES}")
        elif seat.answered is not None:
            try:
                seat.answered(seat, msgspec.json.decode(found, type=Message))
            except (InputError, msgspec.MsgspecError, KeyError, TypeError) as error:
                self._refuse(seat, str(error))

    def _greeted(self, seat: Seat, said: Message) -> None:
        """A worker said who it is: one a machine is enough, and of two machines each has a name of its own."""
        seat.place, name = str(said["place"]), str(said["name"])
        others = [other for other in self.seats.values() if other is not seat and not other.out]
        if any(other.place == seat.place for other in others):
            seat.out = True
            self.observer.note(f"{name} at {seat.address} is on a machine that measures already: it stands by")
            return
        if any(other.name == name for other in others):
            raise InputError(f"another machine is called {name}, too: start one with dask worker --name OTHER")
        seat.name = name
        member = self.files.admit(said)
        member.here, member.lost_at = False, time.monotonic()  # until its measuring process is ready
        self._open(seat)

    def _open(self, seat: Seat) -> None:
        seat.run = self.fleet.members[seat.name].header.study["fleet"]["run"]
        longest = max(planned.effort.timeout_seconds for planned in self.fleet.plan.cases)
        limit = worker.READY_SECONDS + BUILT_AT_A_TIME * longest + SLACK_SECONDS  # a step of a client before may go on there
        self._ask(seat, self._opened, limit, worker.open_session, seat.run, self.parcel.plan, self.parcel.files)

    def _opened(self, seat: Seat, said: Message) -> None:
        """A machine's measuring process started, or says why it cannot."""
        if said["state"] != "ready":
            raise InputError(str(said.get("why", "its measuring process did not start")))
        if why := unlike_code(self.files.hashes, said["hashes"]):
            raise InputError(why)
        member = self.fleet.members[seat.name]
        self.fleet.join(seat.name, member.header, (), member.write)
        self.refused.pop(seat.name, None)
        self.observer.note(f"{seat.name} measures ({member.header.machine['cpu']})")

    def _ask_step(self, seat: Seat, step: TimingStep) -> None:
        effort = self.fleet.members[seat.name].header.effort_of(step.case)
        limit = effort.timeout_seconds * (len(step.cases) if step.kind == "build" else STEPS_PARTS) + SLACK_SECONDS
        self._ask(seat, self._stepped, 2 * limit, worker.take, seat.run, msgspec.json.encode(step), limit)

    def _stepped(self, seat: Seat, said: Message) -> None:
        """The facts of a step, or that it came to nothing: then its machine starts another measuring process."""
        step = self.fleet.members[seat.name].step
        if step is None:
            return
        if said["state"] == "had":
            self.fleet.took(seat.name, checked(step, said["facts"], self.fleet.sources))
        else:
            why = str(said.get("why", "no facts"))
            self.observer.note(f"{seat.name}: {why}")
            self.fleet.again(seat.name, why)
            self._open(seat)

    # the end, and what is shown

    def _say_goodbye(self) -> None:
        """Let the measuring processes go; each worker keeps what its machine could tell."""
        asked = []
        for seat in self.seats.values():
            if seat.name in self.fleet.members and not seat.out:
                text = resolved(self.fleet.members[seat.name]) if self.fleet.finished else ""
                with suppress(Exception):  # it may have gone this moment
                    asked.append(self.channel.ask(seat.address, worker.close_session, seat.run, text, fetch=False))
        self.channel.wait(asked)

    def _show(self) -> None:
        at: dict[str, str] = {}
        for seat in self.seats.values():
            if seat.name in self.fleet.members and not seat.out:
                state = self.states.get(seat.address, {})
                waits = f"waits for {state.get('holder')}" if state.get("state") == "waiting" else ""
                at[seat.name] = waits or step_text(self.fleet.members[seat.name].step)
        counts = self._counts.values()
        self.observer.fleet(at, sum(had for had, _ in counts), sum(wanted for _, wanted in counts))
