"""What a load test is: classes people write, loading a file, config, the resolved plan. Pure."""
