-- Run once, when the volume is new: one database for Airflow, one for the registry.
CREATE DATABASE airflow;
CREATE DATABASE mlflow;
