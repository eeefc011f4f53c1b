"""The real cellxgene-schema keeps the contract: ``make test-cellxgene``, which builds its environment first."""

import pytest

from nexus_resources.settings import read_settings
from tests.contracts.cellxgene_contract import CellxgeneContract


class TestRealCellxgene(CellxgeneContract):
    @pytest.fixture
    def python(self) -> str:
        return read_settings({}).cellxgene_python
