"""A worker process seen from the service: it takes one job at a time, and can be killed at any moment.

PDFium may not be used from two threads and may crash on hostile files, and building a tree keeps
Python busy for seconds; in a process of its own none of that reaches the API.
"""

import asyncio
import contextlib
import os
import signal

from ..base.failures import Failure
from .protocol import IndexJob, Line, Outcome, RenderJob, Reporter
from .python_process import module_command, module_environment

_LINE_BYTES = 1024 * 1024
_JOBS_MOST = 200  # then a fresh process, because libraries leak memory


class WorkerProcess:
    """Starts with its first job, and again whenever it has ended. It takes one job at a time."""

    def __init__(self, memory_mib: int) -> None:
        self._memory_mib = memory_mib
        self._process: asyncio.subprocess.Process | None = None
        self._jobs = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self, *, warm: bool = False) -> None:
        """``warm``: begin the imports of an indexing job, which take seconds, before there is one."""
        if self._process is not None and self._process.returncode is None:
            return
        self._jobs = 0
        self._process = await asyncio.create_subprocess_exec(
            *module_command("worker_main", str(self._memory_mib), *(["warm"] if warm else [])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=module_environment(),
            stderr=1,  # its log joins the service's
            limit=_LINE_BYTES,
            start_new_session=True,  # so that what it started dies with it
        )

    async def run(self, job: IndexJob | RenderJob, timeout_s: float, on_report: Reporter = lambda _: None) -> Outcome:
        """The job's outcome; a worker that dies or takes too long is one too. Cancelling kills the worker."""
        await self.start()
        try:
            return await asyncio.wait_for(self._converse(job, on_report), timeout_s)
        except TimeoutError:
            # A worker that hangs in native code cannot be asked to stop.
            await self.kill()
            return Outcome(failure=Failure(code="timeout"))
        except (OSError, EOFError):
            await self.kill()
            return Outcome(failure=Failure(code="crashed"))
        except BaseException:
            await self.kill()
            raise

    async def _converse(self, job: IndexJob | RenderJob, on_report: Reporter) -> Outcome:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
        process.stdin.write(job.model_dump_json().encode() + b"\n")
        await process.stdin.drain()
        while raw := await process.stdout.readline():
            line = Line.model_validate_json(raw)
            if line.report is not None:
                on_report(line.report)
            if line.outcome is not None:
                self._jobs += 1
                exhausted = line.outcome.failure is not None and line.outcome.failure.code == "out_of_memory"
                if self._jobs >= _JOBS_MOST or exhausted:
                    await self.kill()
                return line.outcome
        raise EOFError

    async def kill(self) -> None:
        """End the worker and whatever it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())
