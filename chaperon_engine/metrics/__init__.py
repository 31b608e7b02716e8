"""Series, histograms, the recorder, the run's aggregate, snapshots and the health verdict. Pure."""
