package capture
import ("testing";"rollcage/internal/observe/event")
func TestCraft(t *testing.T){
 snap:=&event.Snapshot{}
 for i,a:=range [][]string{{""},{"a",""},{"","a"},{"",""},{"",""," "},{"a"},{}} { ti:=event.NewThreadInfo(); ti.TID=int64(10+i); ti.PID=ti.TID; ti.PTID=1; ti.Comm="c"; ti.Exe="exe"; ti.Args=a; snap.Threads=append(snap.Threads,ti)}
 w,err:=Create("/tmp/craft/a.scap",snap,WriterOptions{}); if err!=nil{t.Fatal(err)}
 for i:=range 7 { b,_:=event.Append(nil,uint64(1e18)+uint64(i),int64(10+i),event.SYSCALL_GETUID_X,0); var ev event.Event; ev.Reset(b); if err:=w.Write(&ev);err!=nil{t.Fatal(err)}}
 w.Close()
}
