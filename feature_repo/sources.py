"""Where each view's rows lie: one parquet file an interval, below the home that `feast apply` was given.

Spark has a kind of source of its own for the same files.

`event_timestamp` is the end of the interval a row was built from, `created_timestamp` when its newest input was known.
"""

import os
from pathlib import Path

from feast import FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource


def _source(view: str) -> DataSource:
    home = Path(os.environ["MARQUEE_HOME"]).absolute()
    fields = {
        "name": f"{view}_source",
        "path": f"{home}/features/{view}/*/part.parquet",
        "timestamp_field": "event_timestamp",
        "created_timestamp_column": "created_timestamp",
        "description": f"Rows of {view}, as pipelines/feature_tables.py writes them",
        "owner": OWNER,
    }
    if os.environ.get("MARQUEE_OFFLINE_STORE") == "spark":
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

        return SparkSource(file_format="parquet", **fields)
    return FileSource(file_format=ParquetFormat(), **fields)


OWNER = "personalization@marquee.example"

profile_taste_source = _source("profile_taste")
profile_familiarity_source = _source("profile_familiarity")
title_profile_source = _source("title_profile")
artwork_profile_source = _source("artwork_profile")
