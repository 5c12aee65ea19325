"""The idle timeout of a live call: when it closes, and what it leaves alone."""

import asyncio

import pytest

from emo_serving.live import idle
from emo_serving.live.idle import CloseConnection, IdleMonitor


@pytest.fixture(autouse=True)
def _quick_checks(monkeypatch):
    monkeypatch.setattr(idle, "_CHECK_S", 0.005)


def never(_):
    return None


def after(limit_s):
    return lambda silent_s: CloseConnection(1000, "idle") if silent_s >= limit_s else None


async def message(value, delay_s=0.0):
    await asyncio.sleep(delay_s)
    return value


def test_messages_pass_and_the_time_begins_again_with_each():
    async def receive():
        loop = asyncio.get_running_loop()
        begun, checks = [], []

        def check(silent_s):
            checks.append(silent_s <= loop.time() - begun[-1])

        with IdleMonitor(check) as monitor:
            for number in range(3):
                begun.append(loop.time())
                assert await monitor.wait(message(number, 0.05)) == number
        return checks

    checks = asyncio.run(receive())
    assert len(checks) >= 3
    assert all(checks), "it never counts from an earlier message"


def test_a_silent_connection_is_closed_with_its_reason():
    async def receive():
        with IdleMonitor(after(0.05)) as monitor:
            await monitor.wait(asyncio.Event().wait())

    with pytest.raises(CloseConnection, match="idle") as caught:
        asyncio.run(receive())
    assert caught.value.code == 1000


def test_time_between_two_waits_does_not_count():
    async def receive():
        with IdleMonitor(after(0.0)) as monitor:
            await asyncio.sleep(0.05)  # the answer is computed
            return monitor

    assert asyncio.run(receive())._reason is None


def test_a_cancellation_from_outside_stays_one():
    async def receive():
        with IdleMonitor(never) as monitor:
            await monitor.wait(asyncio.Event().wait())

    async def cancel():
        task = asyncio.create_task(receive())
        await asyncio.sleep(0.02)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())


def test_no_timer_is_left():
    async def receive():
        with IdleMonitor(never) as monitor:
            await monitor.wait(message("a"))
        return monitor._timer

    assert asyncio.run(receive()).cancelled()
