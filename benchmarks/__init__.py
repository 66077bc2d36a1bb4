"""Every figure that the README quotes, one module a figure: `python -m benchmarks NAME --json`."""
