import os

from hypothesis import HealthCheck, settings

# no test reaches for a model on the network
os.environ["HF_HUB_OFFLINE"] = "1"
# small models are fastest on one thread, and count the same however many cores are free
os.environ.setdefault("OMP_NUM_THREADS", "1")

# the same examples on every machine, however busy it is
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")
