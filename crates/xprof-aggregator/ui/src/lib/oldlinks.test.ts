import { expect, test } from 'vitest';
import { fromOld } from './oldlinks';
import { format } from './url';

const pages = [
  { key: 'overview', tools: ['overview_page'] },
  { key: 'timeline', tools: ['trace_viewer@'] },
  { key: 'ops', tools: ['hlo_stats'] },
  { key: 'graph', tools: ['graph_viewer'] },
  { key: 'roofline', tools: ['roofline_model'] },
  { key: 'memory', tools: ['memory_profile'] },
];

test('old addresses name the same view', () => {
  for (const [old, now] of [
    ['?tool=graph_viewer&run=r&module_name=jit_f(17)&node_name=dot.1&graph_width=2#profile', 'r/r/graph?d=2&m=jit_f(17)&op=dot.1'],
    ['overview_page?run=a%2Fb&tag=overview_page&host=ALL_HOSTS', 'r/a%2Fb/overview'],
    ['trace_viewer@?run=r&hosts=b,a', 'r/r/timeline?h=b,a'],
    ['trace_viewer?run=r&tag=trace_viewer&host=a', 'r/r/timeline?h=a'],
    ['hlo_stats?run=r&hlo_op_name=fusion.3&program_id=jit_f(17)', 'r/r/ops?f=hlo_op_name:%3D%22fusion.3%22%20program_id:%3D%2217%22'],
    ['?run=r&tag=roofline_model&roofline_op_name=dot', 'r/r/roofline?f=operation:%3D%22dot%22'],
    ['roofline_model/my%20run?tag=roofline_model', 'r/my%20run/roofline'],
    ['?session_path=/x/y/run7/', 'r/run7/overview?path=/x/y/run7/'],
    ['?run=r&run_path=/x/y&base_session_id=q', 'r/r/overview?path=/x/y/r&vs=q'],
    ['memory_profile?run=r&host_id=3', 'r/r/memory?h=%233'],
    ['index.html?run=r&tag=no_such_tool&use_saved_result=true', 'r/r/overview'],
  ] as const) {
    expect(format(fromOld(old, pages)!)).toBe(now);
  }
  expect(fromOld('', pages)).toBeUndefined();
  expect(fromOld('overview_page', pages)).toBeUndefined();
});
