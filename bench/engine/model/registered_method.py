"""The method of a job: registered by the project, or by plug-ins that the user names. A job never names code to run."""

from bench.engine.records import Job
from methods import PLUGINS, PluginError


def check_registered(job: Job) -> None:
    """Raise PluginError unless the method is registered with the code that the job was planned with.

    The path of a plug-in in a job is only shown: results may come from someone else, so that their code runs only if
    the user names it.
    """
    plugin, planned = PLUGINS.get(job.method), job.science.get("plugin")
    if (plugin.code if plugin else None) == planned:
        return

    name = f'method "{job.method}"'
    if plugin is not None:
        raise PluginError(f"{name}: plug-in {plugin.place} changed since the suite was planned; run it again")
    if job.plugin:
        place = f"{name} is defined by the plug-in {job.plugin}"
        raise PluginError(f"{place}, whose code runs only if you name it: --plugin {job.plugin}")
    raise PluginError(f"{name} is defined by a package that is not installed; install it, or name its file: --plugin")
