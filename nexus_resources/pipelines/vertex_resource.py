"""Vertex AI Pipelines as a Dagster resource: the configuration of :class:`VertexPipelines`, as Dagster takes it."""

from nexus_resources.pipelines.machines import parse_machines
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.pipelines.runner import PipelineRunner


class VertexPipelinesResource(PipelinesResource):
    """Run pipelines on Vertex AI.

    ``project`` and ``region`` say where, ``root`` is the root of the object store, below which Vertex AI keeps what it
    writes itself. ``machines`` is the text of a :class:`~nexus_resources.pipelines.machines.Machines` configuration.
    ``spot`` needs ``spot_launcher_image``, the image of Google's launcher of custom jobs. ``endpoint`` is the address
    of an emulator. ``caching`` is ``on``, ``off`` or ``as compiled``; ``failure_policy`` is ``fast`` or ``slow``.
    """

    project: str
    region: str
    root: str
    worker_image: str
    service_account: str = ""
    network: str = ""
    cmek_key: str = ""
    spot: bool = False
    spot_launcher_image: str = ""
    machines: str = ""
    labels: dict[str, str] = {}  # noqa: RUF012 - Pydantic copies defaults
    failure_policy: str = "fast"
    caching: str = "as compiled"
    endpoint: str = ""
    lost_job_retries: int = 3
    timeout_seconds: float = 86_400.0

    def runner(self) -> PipelineRunner:
        from nexus_resources.pipelines.vertex import VertexPipelines
        from nexus_resources.pipelines.vertex_request import VertexOptions

        options = VertexOptions(
            project=self.project,
            region=self.region,
            pipeline_root=f"{self.root.rstrip('/')}/pipelines",
            worker_image=self.worker_image,
            service_account=self.service_account,
            network=self.network,
            cmek_key=self.cmek_key,
            spot=self.spot,
            spot_launcher_image=self.spot_launcher_image,
            machines=parse_machines(self.machines),
            labels=self.labels,
            failure_policy=self.failure_policy,
            caching=self.caching,
        )
        return VertexPipelines(options, endpoint=self.endpoint or None)
