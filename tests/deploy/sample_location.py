"""A code location of three jobs for the tests of the instance: one ends, one fails, one waits to be told."""

import time

import dagster as dg

WAITING = "waiting for somebody to end this"


@dg.op(pool="warehouse")
def answer(context: dg.OpExecutionContext) -> int:
    print("printed by the op")  # noqa: T201 - what the compute logs must hold
    context.log.info("computing")
    return 42


@dg.op
def wait(context: dg.OpExecutionContext) -> None:
    context.log.info(WAITING)
    for _ in range(600):
        time.sleep(0.1)


@dg.op
def fail() -> None:
    raise dg.Failure("wrong input", allow_retries=False)


@dg.job(executor_def=dg.in_process_executor)
def ends() -> None:
    answer()


@dg.job(executor_def=dg.in_process_executor)
def waits() -> None:
    wait()


@dg.job(executor_def=dg.in_process_executor)
def fails() -> None:
    fail()


nightly = dg.ScheduleDefinition(name="nightly", job=ends, cron_schedule="0 3 * * *")
defs = dg.Definitions(jobs=[ends, fails, waits], schedules=[nightly])
