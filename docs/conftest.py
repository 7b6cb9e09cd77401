"""Files in docs/ that pytest does not collect: the configuration, and the results of a build."""

collect_ignore = ["conf.py", "draw_architecture.py", "draw_figures.py"]
collect_ignore += ["gallery_order.py", "gallery_style.py"]
collect_ignore_glob = ["_build/*", "auto_examples/*", "api/generated/*"]
