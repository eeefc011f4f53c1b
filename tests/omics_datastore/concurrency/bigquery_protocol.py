"""The model of the commit protocol over the BigQuery emulator, where a step that is broken off is a lost answer."""

from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery

from omics_datastore.warehouse.bigquery import BigQueryWarehouse
from omics_datastore.warehouse.bigquery_address import parse_address
from omics_datastore.warehouse.parquet_layout import BULK_LOAD
from omics_datastore.warehouse.warehouse import Warehouse
from tests.emulators.bigquery.process import BigQueryEmulator
from tests.omics_datastore.concurrency.protocol_model import BrokenOffError, CommitProtocol
from tests.omics_datastore.lifetime import Lifetime
from tests.omics_datastore.warehouse.bigquery_world import PROJECT, emulated_world


class _BreakingSession(AuthorizedSession):  # type: ignore[misc]
    """A real session of a process that is killed when the answer to its n-th submission of a job is due."""

    def __init__(self, step: int) -> None:
        super().__init__(AnonymousCredentials())
        self._left = step

    def request(self, method: str, url: str, *arguments: object, **options: object) -> object:
        if self._left < 0:
            raise BrokenOffError(url)
        answer = super().request(method, url, *arguments, **options)
        if method == "POST" and url.split("?", maxsplit=1)[0].endswith("/jobs"):
            self._left -= 1
            if self._left < 0:
                raise BrokenOffError(url)
        return answer


def protocol_over(emulator: BigQueryEmulator) -> type[CommitProtocol]:
    """Return the machine over an emulator, to which this process talks.

    :param emulator: The running emulator.
    :return: A class of machines, each with a dataset of its own.
    """

    class BigQueryProtocol(CommitProtocol):
        def begin(self) -> Lifetime:
            world = self.closing.enter_context(emulated_world(emulator))
            return Lifetime(world.store, world.open(), BULK_LOAD)

        def breaking(self, step: int) -> Warehouse:
            client = bigquery.Client(PROJECT, credentials=AnonymousCredentials(), _http=_BreakingSession(step))
            return BigQueryWarehouse(parse_address(self.life.warehouse.uri), self.life.store, client=client)

    return BigQueryProtocol
