"""Open the clients of BigQuery: of the cloud, or of emulators when the environment names them.

``BIGQUERY_EMULATOR_HOST`` (http://host:port) and ``BIGQUERY_STORAGE_EMULATOR_HOST`` (host:port, gRPC without TLS).
"""

import os
from typing import Any

from omics_datastore.warehouse.bigquery_address import BigQueryAddress
from omics_datastore.warehouse.bigquery_errors import explained

REST_EMULATOR = "BIGQUERY_EMULATOR_HOST"
STORAGE_EMULATOR = "BIGQUERY_STORAGE_EMULATOR_HOST"


def open_client(address: BigQueryAddress) -> Any:
    """Open the client of datasets, tables and jobs.

    :param address: The warehouse.
    :return: ``google.cloud.bigquery.Client``.
    :raise InputError: When there are no credentials.
    """
    with explained(address):
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        credentials = AnonymousCredentials() if os.environ.get(REST_EMULATOR) else None
        return bigquery.Client(address.project, credentials=credentials, location=address.location)


def open_reader(address: BigQueryAddress) -> Any:
    """Open the client of the Storage Read API.

    :param address: The warehouse.
    :return: ``google.cloud.bigquery_storage.BigQueryReadClient``.
    :raise InputError: When there are no credentials.
    """
    with explained(address):
        from google.cloud import bigquery_storage
        from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

        host = os.environ.get(STORAGE_EMULATOR)
        if not host:
            return bigquery_storage.BigQueryReadClient()
        import grpc

        channel = grpc.insecure_channel(host, options=[("grpc.max_receive_message_length", -1)])
        return bigquery_storage.BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
