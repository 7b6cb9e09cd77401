"""What pytest leaves alone in docs/: the configuration, and what a build leaves behind."""

collect_ignore = ["conf.py", "draw_architecture.py", "draw_chart.py", "gallery_order.py"]
collect_ignore_glob = ["_build/*", "auto_examples/*", "api/generated/*"]
